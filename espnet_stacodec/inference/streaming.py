"""Streams of a codec, and how late they are."""

from typing import SupportsIndex

from typeguard import typechecked

from espnet_stacodec.inference.arrays import Count
from espnet_stacodec.inference.computing import Computing
from espnet_stacodec.inference.decoder_streams import DecoderStream, DecoderStreams
from espnet_stacodec.inference.encoder_streams import EncoderStream, EncoderStreams
from espnet_stacodec.streaming.coder import latency_seconds, lookahead_frames


class Streaming(Computing):
    """A codec that codes audio as it comes, if it is causal (`generator_params.causal`).

    The methods raise ConfigError if it is not.
    """

    @typechecked
    def encoder_stream(self, n_codebooks: Count = None, sample_rate: Count = None) -> EncoderStream:
        """Return a stream of audio to codes, the same ones that `encode` gives.

        Args:
            n_codebooks: How many codebooks it returns; None for all.
            sample_rate: Of the audio (Hz), which is not resampled; None takes it to be the codec's.

        Raises:
            DataError: If `sample_rate` is another one than the codec's.
            TokenError: If encoding needs tokens from outside, which need the whole utterance.
            ConfigError: If `n_codebooks` is out of its range, or there is no memory.
        """
        return EncoderStream(self.encoder_streams(1, n_codebooks, sample_rate))

    @typechecked
    def encoder_streams(
        self, number: SupportsIndex, n_codebooks: Count = None, sample_rate: Count = None
    ) -> EncoderStreams:
        """Return independent streams that are computed together; raises as `encoder_stream`."""
        return EncoderStreams(self, number, n_codebooks, sample_rate)

    @typechecked
    def decoder_stream(self) -> DecoderStream:
        """Return a stream of codes to audio, the same that `decode` gives."""
        return DecoderStream(self.decoder_streams(1))

    @typechecked
    def decoder_streams(self, number: SupportsIndex) -> DecoderStreams:
        """Return independent streams that are computed together."""
        return DecoderStreams(self, number)

    @property
    def is_causal(self) -> bool:
        """Whether the codec can code streams."""
        return self.generator.causal

    @property
    def latency_seconds(self) -> float:
        """From a sample to the code of its frame, of a causal codec: a frame and its lookahead."""
        return latency_seconds(self.generator)

    @property
    def streaming_in_words(self) -> str:
        """Whether the codec can code streams, how late they are, and how much they remember."""
        if not self.is_causal:
            return "no: the networks see later frames"
        player = f"decoder state {self.decoder_stream().state_bytes / 1e6:.2f} MB"
        if self.needs_tokens:
            return f"decoding only, as encoding needs tokens from outside; {player}"
        frame = 1000 / self.frame_rule.frame_rate_hz
        ahead = lookahead_frames(self.generator)
        return (
            f"yes: latency {frame:g} ms + lookahead {ahead * frame:g} ms; encoder state"
            f" {self.encoder_stream().state_bytes / 1e6:.2f} MB, {player}"
        )

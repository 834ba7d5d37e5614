"""Audio to codes."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, SupportsIndex, overload

import torch
from typeguard import typechecked

from espnet_stacodec.config import whole_number
from espnet_stacodec.errors import TokenError, naming
from espnet_stacodec.fileio.audio import read_audio
from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.frames import align_tokens
from espnet_stacodec.inference import chunks
from espnet_stacodec.inference.arrays import Count, Wave, to_tokens, to_waveform
from espnet_stacodec.inference.computing import Computing
from espnet_stacodec.pretrained.codec_tokenizer import CodecTokenizer


class Encoding(Computing):
    """A codec that encodes.

    Attributes:
        tokenizer: The semantic tokenizer that it was trained with.
    """

    tokenizer: CodecTokenizer

    @overload
    def encode(
        self,
        wave: Wave,
        sample_rate: SupportsIndex,
        semantic: Any = ...,
        batch_size: Count = ...,
        n_codebooks: Count = ...,
    ) -> torch.Tensor: ...

    @overload
    def encode(
        self,
        wave: Sequence[Wave],
        sample_rate: SupportsIndex,
        semantic: Any = ...,
        batch_size: Count = ...,
        n_codebooks: Count = ...,
    ) -> list[torch.Tensor]: ...

    @torch.no_grad()
    @typechecked
    def encode(
        self,
        wave: Wave | Sequence[Wave],
        sample_rate: SupportsIndex,
        semantic: Any = None,
        batch_size: Count = None,
        n_codebooks: Count = None,
    ) -> torch.Tensor | list[torch.Tensor]:
        """Return the codes of one or several waveforms.

        Audio of more than a minute is encoded in pieces, each with some seconds of its neighbours,
        so that memory is bounded; near their borders some codes can differ from those of the whole,
        but not of a causal codec. Tokens are made of the whole. The caller's autocast changes
        nothing.

        Args:
            wave: (N,) or (1, N) samples, floating point or PCM (see `to_waveform`), or a list.
            sample_rate: Of the waveforms (Hz); others than the codec's are resampled.
            semantic: (T,) semantic tokens, or a list of such; None lets the experiment's own
                tokenizer make them, where the codec needs any.
            batch_size: Waveforms at a time; None for what suits the device.
            n_codebooks: How many codebooks to return, n; None for all.

        Returns:
            (n, T) int64 with T = ceil(N / hop) at the codec's rate, on the waveform's device, or a
            list of such.

        Raises:
            DataError: If a waveform cannot be used, as `to_waveform` does.
            TokenError: If tokens are out of range, do not fit, or are not needed.
            ConfigError: If `n_codebooks` or `batch_size` is out of its range.
        """
        if not isinstance(wave, Sequence):
            given = None if semantic is None else [semantic]
            return self.encode([wave], sample_rate, given, batch_size, n_codebooks)[0]
        if semantic is not None and len(semantic) != len(wave):
            raise TokenError(f"{len(semantic)} token sequences are given for {len(wave)} waves.")
        kept = whole_number("n_codebooks", n_codebooks, self.n_codebooks, highest=self.n_codebooks)
        size = self._batch_size(batch_size)
        waves = [
            to_waveform(samples, sample_rate, self.sample_rate, f"wave {index}")
            for index, samples in enumerate(wave)
        ]

        @functools.cache
        def tokens(index: int) -> torch.Tensor | None:
            given = None if semantic is None else semantic[index]
            return self._tokens(waves[index], given, f"wave {index}")

        with self._computing():
            return [codes[:kept] for codes in chunks.encode(self.generator, waves, tokens, size)]

    @typechecked
    def encode_file(self, path: Path | str, n_codebooks: Count = None) -> Codes:
        """Encode an audio file of any rate, its channels averaged; raises as `encode` does."""
        waves = self._read([path])
        with naming(path):
            return self._encode_whole(waves, n_codebooks)[0]

    @typechecked
    def encode_files(self, paths: Sequence[Path | str], n_codebooks: Count = None) -> list[Codes]:
        """Encode several audio files together; raises as `encode` does."""
        return self._encode_whole(self._read(paths), n_codebooks)

    def _read(self, paths: Sequence[Path | str]) -> list[torch.Tensor]:
        return [to_waveform(*read_audio(path), self.sample_rate, str(path)) for path in paths]

    def _encode_whole(self, waves: Sequence[torch.Tensor], n_codebooks: Count) -> list[Codes]:
        made = self.encode(waves, self.sample_rate, None, len(waves), n_codebooks)
        return [
            Codes(codes.numpy(), len(wave), self.sample_rate, self.fingerprint)
            for codes, wave in zip(made, waves, strict=True)
        ]

    def _tokens(self, wave: torch.Tensor, given: Any, where: str) -> torch.Tensor | None:
        """Return the tokens (T,) of a waveform, one for each of its frames, where it needs any."""
        if not self.needs_tokens:
            if given is not None:
                raise TokenError(f"{where}: this codec takes no tokens; leave semantic out.")
            return None
        if given is None:
            given = self.tokenizer(wave.to(self.device), self.sample_rate, where)
        tokens = to_tokens(given, self.codebook_choices[0], where)
        return torch.from_numpy(align_tokens(where, tokens, self.frame_rule.num_frames(len(wave))))

"""Streams of codes to audio, as they come."""

import functools
from typing import SupportsIndex

import torch
from typeguard import typechecked

from espnet_stacodec.errors import naming
from espnet_stacodec.fileio.code_files import Codes, check_codes, form_of_codes
from espnet_stacodec.gan_codec.quantizer.residual import sum_of_entries
from espnet_stacodec.inference.arrays import CodeArray, CodePieces, Rows, to_integers
from espnet_stacodec.inference.computing import Computing
from espnet_stacodec.inference.streams import Stream, Streams
from espnet_stacodec.streaming.coder import STEP_FRAMES, DecoderSteps
from espnet_stacodec.streaming.state import State


class DecoderStreams(Streams):
    """Several independent streams of codes to audio; made by `codec.decoder_streams(number)`."""

    def __init__(self, codec: Computing, number: SupportsIndex) -> None:
        self._steps = DecoderSteps(codec.generator)  # type: ignore[arg-type]
        self._hop = codec.frame_rule.hop_samples
        super().__init__(codec, number)

    @typechecked
    def push(self, pieces: CodePieces) -> list[torch.Tensor]:
        """Decode the next codes of each stream.

        Args:
            pieces: (n, t_i) integers of each stream, of the first n codebooks, which may be
                another number than before, or `Codes`; None, or no frames, for none.

        Returns:
            (t_i * hop,) float32 of each stream at the codec's rate, on the CPU: whole frames, also
            of `Codes`, which may hold fewer samples.

        Raises:
            DataError: If there is not a piece for each stream.
            TokenError: If codes do not fit the codec, or `Codes` are of another one, which of an
                array cannot be known; all streams are then as they were.
        """
        self._check_number(pieces)
        given = {
            row: self._checked(piece, row) for row, piece in enumerate(pieces) if piece is not None
        }
        return self._push(given)

    def _push(self, codes: dict[int, torch.Tensor]) -> list[torch.Tensor]:
        """codes: (n_i, t_i) of some streams, checked. Returns the audio of all."""
        with self._changing():
            return self._decode({row: piece for row, piece in codes.items() if piece.shape[1]})

    @typechecked
    def flush(self, streams: Rows = None) -> list[torch.Tensor]:
        """End streams, which are then as new ones.

        Args:
            streams: Their numbers, from 0, each once; None for all.

        Returns:
            (0,) of each of these streams: audio is complete with the frame that it belongs to.

        Raises:
            DataError: If there is no such stream, or one is named twice; all are then as they were.
        """
        rows = self._rows(streams)
        with self._changing():
            if rows:
                self._state.begin(rows)
        return [torch.zeros(0, dtype=torch.float32) for _ in rows]

    def _new_state(self, streams: int) -> State:
        return self._steps.state(streams)

    def _checked(self, piece: CodeArray | Codes, row: int) -> torch.Tensor:
        """Return codes (n, t) of one stream."""
        choices = self.codec.codebook_choices
        with naming(f"stream {row}"):
            if isinstance(piece, Codes):
                piece.check_codec(self.codec.fingerprint)
                piece = piece.codes
            array = to_integers(piece, form_of_codes(choices))
            return torch.from_numpy(check_codes(array, choices, may_be_empty=True))

    @torch.no_grad()
    def _decode(self, codes: dict[int, torch.Tensor]) -> list[torch.Tensor]:
        """codes: (n_i, t_i) of some streams, t_i > 0. Returns the audio of all."""
        entries = [codebook.embed for codebook in self._steps.generator.codebooks]
        latents = {
            row: sum_of_entries(entries, piece.to(self.codec.device)).T
            for row, piece in codes.items()
        }
        audio: list[list[torch.Tensor]] = [
            [torch.zeros(0, dtype=torch.float32)] for _ in range(self.number)
        ]
        done = 0
        with self.codec._computing():
            while rows := [row for row, of_row in latents.items() if of_row.shape[1] > done]:
                frames = min(STEP_FRAMES, *(latents[row].shape[1] - done for row in rows))
                batch = torch.stack([latents[row][:, done : done + frames] for row in rows])
                made = self._with(rows, functools.partial(self._steps.step, batch))
                for row, samples in zip(rows, made[:, 0].float().cpu(), strict=True):
                    audio[row].append(samples)
                done += frames
        return [torch.cat(of_stream) for of_stream in audio]


class DecoderStream(Stream[DecoderStreams]):
    """A stream of codes to audio; made by `codec.decoder_stream()`.

    Example:
        >>> player = codec.decoder_stream()
        >>> audio = player.push(codes)  # (t * hop,) float32
        >>> player.flush()              # it can be used again
    """

    @typechecked
    def push(self, codes: CodeArray | Codes) -> torch.Tensor:
        """Decode the next codes (n, t); see `DecoderStreams.push`. Returns (t * hop,)."""
        return self._streams._push({0: self._streams._checked(codes, 0)})[0]

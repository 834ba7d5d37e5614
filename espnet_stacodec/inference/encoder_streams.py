"""Streams of audio to codes, as it comes."""

from collections.abc import Iterable, Sequence
from typing import SupportsIndex

import torch
from typeguard import typechecked

from espnet_stacodec.config import whole_number
from espnet_stacodec.errors import DataError, TokenError
from espnet_stacodec.fileio.audio import check_rate
from espnet_stacodec.inference.arrays import Count, Rows, Wave, WavePieces, to_piece
from espnet_stacodec.inference.computing import Computing
from espnet_stacodec.inference.streams import Stream, Streams
from espnet_stacodec.streaming.coder import STEP_FRAMES, EncoderSteps, lookahead_frames
from espnet_stacodec.streaming.state import State, damaged


class EncoderStreams(Streams):
    """Several independent streams of audio to codes; made by `codec.encoder_streams(number)`."""

    def __init__(
        self,
        codec: Computing,
        number: SupportsIndex,
        n_codebooks: Count = None,
        sample_rate: Count = None,
    ) -> None:
        self._steps = EncoderSteps(codec.generator)  # type: ignore[arg-type]
        if codec.needs_tokens:
            raise TokenError(
                "This codec cannot encode a stream: it assigns the tokens of an SSL model, which"
                " hears the whole utterance; train one that predicts them (predistillation)."
            )
        if sample_rate is not None:
            rate = check_rate(sample_rate, "streams")
            if rate != codec.sample_rate:
                raise DataError(
                    f"The audio has {rate} Hz, and streams of this codec take {codec.sample_rate}"
                    " Hz; resample it before it is pushed, or encode it whole, which resamples it."
                )
        highest = codec.n_codebooks
        self.n_codebooks = whole_number("n_codebooks", n_codebooks, highest, highest=highest)
        self._lookahead = lookahead_frames(codec.generator)
        self._hop = codec.frame_rule.hop_samples
        super().__init__(codec, number)

    @typechecked
    def push(self, pieces: WavePieces) -> list[torch.Tensor]:
        """Encode the next samples of each stream.

        Args:
            pieces: (N_i,) samples of each stream at the codec's rate, as `AudioCoding.encode`
                takes them; any number, None for none.

        Returns:
            (n_codebooks, t_i) int64 of each stream, on the CPU: the frames that are complete, none
            or more.

        Raises:
            DataError: If a piece cannot be used; all streams are then as they were.
        """
        self._check_number(pieces)
        given = {
            row: to_piece(piece, f"stream {row}")
            for row, piece in enumerate(pieces)
            if piece is not None
        }
        return self._push(given)

    def _push(self, pieces: dict[int, torch.Tensor]) -> list[torch.Tensor]:
        """pieces: (N_i,) of some streams, checked. Returns the codes of all."""
        with self._changing():
            return self._encode(pieces)

    @typechecked
    def flush(self, streams: Rows = None) -> list[torch.Tensor]:
        """End streams: the last frame is filled up with zeros, as `AudioCoding.encode` does.

        They are then as new ones.

        Args:
            streams: Their numbers, from 0, each once; None for all.

        Returns:
            (n_codebooks, t_i) of each of these streams, in this order: the frames that were still
                missing.

        Raises:
            DataError: If there is no such stream, or one is named twice; all are then as they were.
        """
        rows = self._rows(streams)
        with self._changing():
            missing = (-self._state["num_samples"] % self._hop).tolist()
            nothing = torch.zeros(self._hop, dtype=torch.float32)
            codes = self._encode({row: nothing[: missing[row]] for row in rows})
            ends = {row: [codes[row]] for row in rows}
            for group in self._groups(rows):
                for row, last in zip(group, self._finish(group).unbind(1), strict=True):
                    ends[row].append(last[: self.n_codebooks])
            if rows:
                self._state.begin(rows)
        return [torch.cat(ends[row], 1) for row in rows]

    def _new_state(self, streams: int) -> State:
        state = self._steps.state(streams)
        # Samples of a frame that is not complete yet, and their number; frames so far.
        state["samples"] = torch.zeros(streams, self._hop, dtype=torch.float32)
        state["num_samples"] = torch.zeros(streams, dtype=torch.long)
        state["num_frames"] = torch.zeros(streams, dtype=torch.long)
        return state

    def _check_state(self, state: State) -> None:
        kept = int(state["num_samples"].max())
        if kept >= self._hop:
            raise damaged(f"num_samples {kept} is not below {self._hop}, a frame")

    @torch.no_grad()
    def _encode(self, pieces: dict[int, torch.Tensor]) -> list[torch.Tensor]:
        """pieces: (N_i,) of some streams. Returns the codes of all."""
        kept = self._state["num_samples"].tolist()
        audio = {}
        for row, piece in pieces.items():
            if kept[row] + len(piece) < self._hop:
                self._keep(row, kept[row], piece)
            else:
                audio[row] = torch.cat([self._state["samples"][row, : kept[row]], piece.cpu()])
        codes: list[list[torch.Tensor]] = [[] for _ in range(self.number)]
        done = dict.fromkeys(audio, 0)
        left = {row: len(samples) // self._hop for row, samples in audio.items()}
        with self.codec._computing():
            while rows := [row for row in audio if left[row]]:
                for group in self._groups(rows):
                    frames = min(STEP_FRAMES, *(left[row] for row in group))
                    size = frames * self._hop
                    batch = torch.stack([audio[r][done[r] : done[r] + size] for r in group])
                    made = self._step(group, batch.unsqueeze(1).to(self.codec.device))
                    self._state["num_frames"][group] += frames
                    for row, of_stream in zip(group, made.unbind(1), strict=True):
                        codes[row].append(of_stream[: self.n_codebooks])
                        done[row] += size
                        left[row] -= frames
        for row, samples in audio.items():
            self._keep(row, 0, samples[done[row] :])
        nothing = torch.zeros(self.n_codebooks, 0, dtype=torch.long)
        return [torch.cat([nothing, *(c.cpu() for c in of_stream)], 1) for of_stream in codes]

    def _keep(self, row: int, start: int, samples: torch.Tensor) -> None:
        """Keep samples (N,) of a frame that is not complete, from `start` on."""
        stop = start + len(samples)
        self._state["samples"][row, start:stop] = samples
        self._state["num_samples"][row] = stop

    def _step(self, rows: Sequence[int], audio: torch.Tensor) -> torch.Tensor:
        return self._with(rows, lambda s: self._steps.codes(self._steps.step(audio, s)))

    @torch.no_grad()
    def _finish(self, rows: Sequence[int]) -> torch.Tensor:
        with self.codec._computing():
            return self._with(rows, lambda s: self._steps.codes(self._steps.finish(s))).cpu()

    def _groups(self, rows: Sequence[int]) -> Iterable[list[int]]:
        """Divide streams into those that can be computed together.

        Where a stream begins, its first frames wait for those that are looked ahead at.
        """
        frames = self._state["num_frames"].clamp(max=self._lookahead).tolist()
        groups: dict[int, list[int]] = {}
        for row in rows:
            groups.setdefault(frames[row], []).append(row)
        return groups.values()


class EncoderStream(Stream[EncoderStreams]):
    """A stream of audio to codes; made by `codec.encoder_stream()`.

    Example:
        >>> stream = codec.encoder_stream()
        >>> codes = stream.push(samples)  # (n_codebooks, t) of the frames that are complete
        >>> codes = stream.flush()        # the rest; the stream can be used again
    """

    @typechecked
    def push(self, samples: Wave) -> torch.Tensor:
        """Encode the next samples (N,); see `EncoderStreams.push`. Returns (n_codebooks, t)."""
        return self._streams._push({0: to_piece(samples, "stream 0")})[0]

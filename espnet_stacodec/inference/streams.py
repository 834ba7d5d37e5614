"""Streams: audio to codes and codes to audio as they come."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self, SupportsIndex

import torch
from typeguard import typechecked

from espnet_stacodec.config import whole_number
from espnet_stacodec.errors import DataError, TokenError
from espnet_stacodec.fileio.code_files import check_codes
from espnet_stacodec.gan_codec.quantizer.residual import sum_of_entries
from espnet_stacodec.inference.arrays import CodeArray, Count, Wave, to_piece
from espnet_stacodec.inference.computing import Computing
from espnet_stacodec.streaming.coder import (
    STEP_FRAMES,
    DecoderSteps,
    EncoderSteps,
    lookahead_frames,
)
from espnet_stacodec.streaming.state import State


class _Streams:
    """Several independent streams of a codec, computed together wherever that is possible.

    Streams of one codec can be used by several threads, each of them by one at a time. A deep copy
    shares the codec; `state` is all that differs.

    Attributes:
        number: How many streams they are, B.
    """

    def __init__(self, codec: Computing, number: SupportsIndex, state: State) -> None:
        self.codec = codec
        self.number = whole_number("number of streams", number, 1)
        self._state = state
        state.fingerprint = codec.fingerprint

    @property
    def state(self) -> State:
        """What the streams remember, copied; set it to continue another one's, e.g. elsewhere.

        Setting it raises DataError if it is of another codec or another number of streams.
        """
        return self._state.clone()

    @state.setter
    def state(self, state: State) -> None:
        self._state.copy_from(state)

    @property
    def state_bytes(self) -> int:
        """Size of the state of one stream, however long it is."""
        return self._state.num_bytes // self.number

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = type(self).__new__(type(self))
        copied.__dict__ |= self.__dict__ | {"_state": self._state.clone()}
        return copied

    def _check_number(self, pieces: Sequence[object]) -> None:
        if len(pieces) != self.number:
            raise DataError(
                f"{len(pieces)} pieces are given for {self.number} streams; give one for each, None"
                " where there is nothing new."
            )

    def _rows(self, streams: Iterable[int] | None) -> list[int]:
        """Return the streams that are meant; None means all."""
        rows = list(range(self.number)) if streams is None else sorted(set(streams))
        for row in rows:
            if not 0 <= row < self.number:
                raise DataError(f"There is no stream {row}; they are 0 to {self.number - 1}.")
        return rows

    def _with(self, rows: Sequence[int], work: Callable[[State], torch.Tensor]) -> torch.Tensor:
        """Return work(what some streams remember), which may change it."""
        if len(rows) == self.number:
            return work(self._state)
        part = self._state.of(rows)
        result = work(part)
        self._state.put(rows, part)
        return result


class EncoderStreams(_Streams):
    """Several independent streams of audio to codes; made by `codec.encoder_streams(number)`."""

    def __init__(self, codec: Computing, number: SupportsIndex, n_codebooks: Count = None) -> None:
        self._steps = EncoderSteps(codec.generator)  # type: ignore[arg-type]
        if codec.needs_tokens:
            raise TokenError(
                "This codec cannot encode a stream: it assigns the tokens of an SSL model, which"
                " hears the whole utterance; train one that predicts them (predistillation)."
            )
        highest = codec.n_codebooks
        self.n_codebooks = whole_number("n_codebooks", n_codebooks, highest, highest=highest)
        self._lookahead = lookahead_frames(codec.generator)
        self._hop = codec.frame_rule.hop_samples
        state = self._steps.state(whole_number("number of streams", number, 1))
        # Samples of a frame that is not complete yet, and their number; frames so far.
        state["samples"] = torch.zeros(int(number), self._hop)
        state["num_samples"] = torch.zeros(int(number), dtype=torch.long)
        state["num_frames"] = torch.zeros(int(number), dtype=torch.long)
        super().__init__(codec, number, state)

    @typechecked
    def push(self, pieces: Sequence[Wave | None]) -> list[torch.Tensor]:
        """Encode the next samples of each stream.

        Args:
            pieces: (N_i,) samples of each stream at the codec's rate, as `AudioCoding.encode`
                takes them; any number, None for none.

        Returns:
            (n_codebooks, t_i) int64 of each stream: the frames that are complete, none or more.

        Raises:
            DataError: If a piece cannot be used; all streams are then as they were.
        """
        self._check_number(pieces)
        return self._encode(
            {
                row: to_piece(piece, f"stream {row}")
                for row, piece in enumerate(pieces)
                if piece is not None
            }
        )

    @typechecked
    def flush(self, streams: Sequence[int] | None = None) -> list[torch.Tensor]:
        """End streams: the last frame is filled up with zeros, as `AudioCoding.encode` does.

        They are then as new ones.

        Args:
            streams: Which; None for all.

        Returns:
            (n_codebooks, t_i) of each of these streams: the frames that were still missing.

        Raises:
            DataError: If there is no such stream.
        """
        rows = self._rows(streams)
        missing = (-self._state["num_samples"] % self._hop).tolist()
        codes = self._encode({row: torch.zeros(missing[row]) for row in rows})
        ends = {row: [codes[row]] for row in rows}
        for group in self._groups(rows):
            for row, last in zip(group, self._finish(group).unbind(1), strict=True):
                ends[row].append(last[: self.n_codebooks])
        if rows:
            self._state.begin(rows)
        return [torch.cat(ends[row], 1) for row in rows]

    @torch.no_grad()
    def _encode(self, pieces: dict[int, torch.Tensor]) -> list[torch.Tensor]:
        """pieces: (N_i,) of some streams. Returns the codes of all."""
        kept = self._state["num_samples"].tolist()
        audio = {
            row: torch.cat([self._state["samples"][row, : kept[row]], piece.cpu()])
            for row, piece in pieces.items()
        }
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
            rest = samples[done[row] :]
            self._state["samples"][row, : len(rest)] = rest
            self._state["num_samples"][row] = len(rest)
        nothing = torch.zeros(self.n_codebooks, 0, dtype=torch.long)
        return [torch.cat([nothing, *(c.cpu() for c in of_stream)], 1) for of_stream in codes]

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


class DecoderStreams(_Streams):
    """Several independent streams of codes to audio; made by `codec.decoder_streams(number)`."""

    def __init__(self, codec: Computing, number: SupportsIndex) -> None:
        self._steps = DecoderSteps(codec.generator)  # type: ignore[arg-type]
        self._hop = codec.frame_rule.hop_samples
        state = self._steps.state(whole_number("number of streams", number, 1))
        super().__init__(codec, number, state)

    @typechecked
    def push(self, pieces: Sequence[CodeArray | None]) -> list[torch.Tensor]:
        """Decode the next codes of each stream.

        Args:
            pieces: (n, t_i) integers of each stream, of the first n codebooks, which may be
                another number than before; None, or no frames, for none.

        Returns:
            (t_i * hop,) float32 of each stream at the codec's rate.

        Raises:
            TokenError: If codes do not fit the codec; all streams are then as they were.
        """
        self._check_number(pieces)
        codes = {row: self._checked(piece, row) for row, piece in enumerate(pieces)}
        return self._decode({row: piece for row, piece in codes.items() if piece.shape[1]})

    @typechecked
    def flush(self, streams: Sequence[int] | None = None) -> list[torch.Tensor]:
        """End streams, which are then as new ones.

        Args:
            streams: Which; None for all.

        Returns:
            (0,) of each of these streams: audio is complete with the frame that it belongs to.

        Raises:
            DataError: If there is no such stream.
        """
        rows = self._rows(streams)
        if rows:
            self._state.begin(rows)
        return [torch.zeros(0) for _ in rows]

    def _checked(self, piece: CodeArray | None, row: int) -> torch.Tensor:
        """Return codes (n, t) of one stream."""
        choices = self.codec.codebook_choices
        if piece is None:
            return torch.zeros(1, 0, dtype=torch.long)
        array = torch.as_tensor(piece).cpu().numpy()
        if array.ndim == 2 and not array.shape[1] and 1 <= len(array) <= len(choices):
            return torch.zeros(array.shape, dtype=torch.long)
        try:
            return torch.from_numpy(check_codes(array, choices))
        except TokenError as error:
            raise TokenError(f"stream {row}: {error}") from error

    @torch.no_grad()
    def _decode(self, codes: dict[int, torch.Tensor]) -> list[torch.Tensor]:
        """codes: (n_i, t_i) of some streams, t_i > 0. Returns the audio of all."""
        entries = [codebook.embed for codebook in self._steps.generator.codebooks]
        latents = {
            row: sum_of_entries(entries, piece.to(self.codec.device)).T
            for row, piece in codes.items()
        }
        audio: list[list[torch.Tensor]] = [[torch.zeros(0)] for _ in range(self.number)]
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


class _Stream[Streams: (EncoderStreams, DecoderStreams)]:
    """One stream: a batch of one, without the lists."""

    def __init__(self, streams: Streams) -> None:
        self._streams: Streams = streams

    @property
    def state(self) -> State:
        """What the stream remembers, copied; see `EncoderStreams.state`."""
        return self._streams.state

    @state.setter
    def state(self, state: State) -> None:
        self._streams.state = state

    @property
    def state_bytes(self) -> int:
        """Size of the state, however long the stream is."""
        return self._streams.state_bytes

    def flush(self) -> torch.Tensor:
        """End the stream, which is then as a new one; returns what is still missing."""
        return self._streams.flush()[0]


class EncoderStream(_Stream[EncoderStreams]):
    """A stream of audio to codes; made by `codec.encoder_stream()`.

    Example:
        >>> stream = codec.encoder_stream()
        >>> codes = stream.push(samples)  # (n_codebooks, t) of the frames that are complete
        >>> codes = stream.flush()        # the rest; the stream can be used again
    """

    def push(self, samples: Wave) -> torch.Tensor:
        """Encode the next samples (N,); see `EncoderStreams.push`. Returns (n_codebooks, t)."""
        return self._streams.push([samples])[0]


class DecoderStream(_Stream[DecoderStreams]):
    """A stream of codes to audio; made by `codec.decoder_stream()`.

    Example:
        >>> player = codec.decoder_stream()
        >>> audio = player.push(codes)  # (t * hop,) float32
        >>> player.flush()              # it can be used again
    """

    def push(self, codes: CodeArray) -> torch.Tensor:
        """Decode the next codes (n, t); see `DecoderStreams.push`. Returns (t * hop,)."""
        return self._streams.push([codes])[0]

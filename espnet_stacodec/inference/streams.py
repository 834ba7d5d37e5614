"""What streams of audio and of codes have in common."""

import contextlib
import copy
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, SupportsIndex

import numpy as np
import torch

from espnet_stacodec.config import whole_number
from espnet_stacodec.errors import ConfigError, DataError
from espnet_stacodec.inference.arrays import Rows
from espnet_stacodec.inference.computing import Computing
from espnet_stacodec.streaming.state import State


class Streams:
    """Several independent streams of a codec, computed together wherever that is possible.

    Streams of one codec can be used by several threads, each of them by one at a time. A copy, deep
    or not, shares the codec and goes on by itself; `state` is all that differs.

    Attributes:
        number: How many streams they are, B.
    """

    def __init__(self, codec: Computing, number: SupportsIndex) -> None:
        self.codec = codec
        self.number = whole_number("number of streams", number, 1)
        # What is made in torch.inference_mode could not be changed outside.
        with torch.inference_mode(False):
            needed = self.number * self._new_state(1).num_bytes
            try:
                # The system may grant more than there is, and end the process that uses it.
                if needed > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
                    raise MemoryError
                self._state = self._new_state(self.number)
            except (MemoryError, RuntimeError) as error:
                # Torch has no class for this on a CPU.
                if isinstance(error, RuntimeError) and "allocate" not in str(error):
                    raise
                raise ConfigError(
                    f"{self.number} streams need {needed / 1e9:.3g} GB of memory, which is not"
                    " there; make fewer."
                ) from error
        self._state.made_by = codec.output_key
        self._is_whole = True

    @property
    def state(self) -> State:
        """What the streams remember, copied; set it to continue another one's, e.g. elsewhere.

        Setting it raises DataError, and changes nothing, if it is of another codec, precision,
        direction or number of streams, or holds what no stream remembers.
        """
        self._check_whole()
        return self._state.clone()

    @state.setter
    def state(self, state: State) -> None:
        taken = self._state.taking(state)
        self._check_state(taken)
        self._state, self._is_whole = taken, True

    @property
    def state_bytes(self) -> int:
        """Size of the state of one stream, however long it is."""
        return self._state.num_bytes // self.number

    def __copy__(self) -> Self:
        return copy.deepcopy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = type(self).__new__(type(self))
        copied.__dict__ |= self.__dict__ | {"_state": self._state.clone()}
        return copied

    def flush(self, streams: Rows = None) -> list[torch.Tensor]:
        """End streams, which are then as new ones; None for all. Returns what was still missing."""
        raise NotImplementedError

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Change the state in the block; if that is interrupted, it is of no use any more."""
        self._check_whole()
        self._is_whole = False
        yield
        self._is_whole = True

    def _new_state(self, streams: int) -> State:
        """Return what so many new streams remember."""
        raise NotImplementedError

    def _check_state(self, state: State) -> None:
        """Raise DataError for a state with what such streams do not remember."""

    def _check_whole(self) -> None:
        if not self._is_whole:
            raise DataError(
                "An earlier push or flush of this stream was interrupted, and left its state"
                " incomplete; set `state` to one that was taken before, or make a new stream."
            )

    def _check_number(self, pieces: Sequence[object]) -> None:
        if not isinstance(pieces, Sequence):
            raise DataError(
                f"Pieces are given as a list, one for each of the {self.number} streams, not as"
                f" {type(pieces).__name__}."
            )
        if len(pieces) != self.number:
            raise DataError(
                f"{len(pieces)} pieces are given for {self.number} streams; give one for each, None"
                " where there is nothing new."
            )

    def _rows(self, streams: Rows) -> list[int]:
        """Return the streams that are meant, in the order given; None means all."""
        if streams is None:
            return list(range(self.number))
        if not isinstance(streams, Sequence):
            raise DataError(
                f"Streams are named by a list of their numbers, such as [0], not by"
                f" {type(streams).__name__}."
            )
        rows: list[int] = []
        for row in streams:
            # True would be taken for a mask, by torch.
            if isinstance(row, bool) or not isinstance(row, int | np.integer):
                raise DataError(f"{row!r} is no number of a stream; give whole numbers.")
            if not 0 <= row < self.number:
                raise DataError(f"There is no stream {row}; they are 0 to {self.number - 1}.")
            if row in rows:
                raise DataError(f"Stream {row} is named twice; name each once.")
            rows.append(int(row))
        return rows

    def _with(self, rows: Sequence[int], work: Callable[[State], torch.Tensor]) -> torch.Tensor:
        """Return work(what some streams remember), which may change it."""
        if list(rows) == list(range(self.number)):
            return work(self._state)
        part = self._state.of(rows)
        result = work(part)
        self._state.put(rows, part)
        return result


class Stream[Several: Streams]:
    """One stream: a batch of one, without the lists. A copy goes on by itself."""

    def __init__(self, streams: Several) -> None:
        self._streams: Several = streams

    def __copy__(self) -> Self:
        return copy.deepcopy(self)

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

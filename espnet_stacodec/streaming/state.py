"""What streams remember between their pieces: bounded, copied, pickled and moved as one thing."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence

import torch

from espnet_stacodec.errors import DataError


class State(MutableMapping[str, torch.Tensor]):
    """Tensors by name, whose first dimension is the stream.

    All are zeros where a stream begins. They never grow, however long it is.

    Args:
        tensors: (B, ...) each.
        fingerprint: Of the codec.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor], fingerprint: str = "") -> None:
        self._tensors = dict(tensors)
        self.fingerprint = fingerprint

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._tensors[name]

    def __setitem__(self, name: str, value: torch.Tensor) -> None:
        self._tensors[name] = value

    def __delitem__(self, name: str) -> None:
        del self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    @property
    def num_bytes(self) -> int:
        """Memory that the tensors take."""
        return sum(tensor.nbytes for tensor in self.values())

    def clone(self) -> "State":
        """Return a copy that shares nothing, and that can be changed wherever it was made."""
        # What is made in torch.inference_mode, which is a thread's own, cannot be changed outside.
        with torch.inference_mode(False):
            tensors = {name: tensor.clone() for name, tensor in self.items()}
        return State(tensors, self.fingerprint)

    def of(self, rows: Sequence[int]) -> "State":
        """Return a copy of what some streams remember."""
        tensors = {name: tensor[list(rows)] for name, tensor in self.items()}
        return State(tensors, self.fingerprint)

    def put(self, rows: Sequence[int], part: "State") -> None:
        """Take over what `of` returned for these streams and was changed since."""
        for name, tensor in self.items():
            tensor[list(rows)] = part[name]

    def begin(self, rows: Sequence[int]) -> None:
        """Let some streams forget everything."""
        for tensor in self.values():
            tensor[list(rows)] = 0

    def copy_from(self, other: "State") -> None:
        """Take over everything.

        Raises:
            DataError: If the other one is none, or of another codec or number of streams.
        """
        if not isinstance(other, State):
            raise DataError(
                f"A {type(other).__name__} is no state of a stream, which is what its `state`"
                " returned; to begin anew, make a new stream."
            )
        own, given = (
            (state.fingerprint, {name: tensor.shape for name, tensor in state.items()})
            for state in (self, other)
        )
        if own != given:
            raise DataError(
                "This state is of another codec, of another direction, or of another number of"
                " streams; continue it with the codec and the number that it was taken from."
            )
        for name, tensor in self.items():
            tensor.copy_(other[name])

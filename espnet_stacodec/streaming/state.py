"""What streams remember between their pieces: bounded, copied, pickled and moved as one thing."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence

import torch

from espnet_stacodec.errors import DataError


class State(MutableMapping[str, torch.Tensor]):
    """Tensors by name, whose first dimension is the stream.

    All are zeros where a stream begins. They never grow, however long it is.

    Args:
        tensors: (B, ...) each; floating point, or integers from 0.
        made_by: Identifies the codec and its precision.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor], made_by: str = "") -> None:
        self._tensors = dict(tensors)
        self.made_by = made_by

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
        return State(tensors, self.made_by)

    def __copy__(self) -> "State":
        return self.clone()

    def of(self, rows: Sequence[int]) -> "State":
        """Return a copy of what some streams remember."""
        tensors = {name: tensor[list(rows)] for name, tensor in self.items()}
        return State(tensors, self.made_by)

    def put(self, rows: Sequence[int], part: "State") -> None:
        """Take over what `of` returned for these streams and was changed since."""
        for name, tensor in self.items():
            tensor[list(rows)] = part[name]

    def begin(self, rows: Sequence[int]) -> None:
        """Let some streams forget everything."""
        for tensor in self.values():
            tensor[list(rows)] = 0

    def taking(self, other: "State") -> "State":
        """Return what another one remembers, copied to where this one is.

        Raises:
            DataError: If the other one is none, is of another codec, precision or number of
                streams, or holds what no stream remembers.
        """
        if not isinstance(other, State):
            raise DataError(
                f"A {type(other).__name__} is no state of a stream, which is what its `state`"
                " returned; to begin anew, make a new stream."
            )
        if self.made_by != other.made_by or self._form() != other._form():
            raise DataError(
                "This state is of another codec, of another precision, of another direction, or of"
                " another number of streams; continue it with the codec and the number that it was"
                " taken from."
            )
        for name, tensor in other.items():
            if tensor.is_floating_point():
                if not bool(tensor.isfinite().all()):
                    raise damaged(f"{name} has values that are NaN or infinite")
            elif bool((tensor < 0).any()):
                raise damaged(f"{name} has values below 0")
        taken = self.clone()
        for name, tensor in taken.items():
            tensor.copy_(other[name].detach())
        return taken

    def _form(self) -> dict[str, object]:
        """Return shape and type by name; None of what is no tensor that could be copied."""
        return {
            name: (tensor.shape, tensor.dtype)
            if isinstance(tensor, torch.Tensor)
            and not tensor.is_nested
            and not tensor.is_meta
            and tensor.layout == torch.strided
            else None
            for name, tensor in self.items()
        }


def damaged(what: str) -> DataError:
    """Return the error for a state with what no stream remembers."""
    return DataError(
        f"This state was changed since a stream returned it, or is damaged ({what}); set it as it"
        " was returned."
    )

"""Make every rank see what all ranks see; without a process group these change nothing."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist


def is_distributed() -> bool:
    """Whether this process is one of several that train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def world_size() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if is_distributed() else 1


def own_rank() -> int:
    """Return which of the processes that train together this one is; 0 where it is alone."""
    return dist.get_rank() if is_distributed() else 0


def all_reduce_sum(*tensors: torch.Tensor) -> None:
    """Replace each tensor, in place, by its sum over all ranks: one exchange for all of them.

    Sums of integers are exact up to 2**24.
    """
    if not is_distributed():
        return
    flat = torch.cat([tensor.detach().flatten().float() for tensor in tensors])
    dist.all_reduce(flat, dist.ReduceOp.SUM)
    start = 0
    for tensor in tensors:
        tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
        start += tensor.numel()


def broadcast_from_first(tensors: Sequence[torch.Tensor]) -> None:
    """Give all ranks, in place, the first one's values: one exchange for each type of numbers."""
    if not is_distributed():
        return
    for dtype in sorted({tensor.dtype for tensor in tensors}, key=str):
        same = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = torch.cat([tensor.detach().flatten() for tensor in same])
        dist.broadcast(flat, 0)
        start = 0
        for tensor in same:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()


def all_gather_frames(frames: torch.Tensor) -> torch.Tensor:
    """Return the frames (N_r, D) of all ranks, one rank after the other: (sum of N_r, D)."""
    if not is_distributed():
        return frames
    counts = [int(numbers[0]) for numbers in gather_numbers([len(frames)]).values]
    # Collectives want equal shapes; ranks may hold different numbers of valid frames.
    padded = frames.new_zeros(max(counts), frames.shape[1])
    padded[: len(frames)] = frames
    gathered = [torch.zeros_like(padded) for _ in counts]
    dist.all_gather(gathered, padded)
    return torch.cat([part[:count] for part, count in zip(gathered, counts, strict=True)])


@dataclasses.dataclass(frozen=True)
class Gathered[T]:
    """What all ranks gave.

    Attributes:
        values: One a rank.
        own: The index of this rank's.
    """

    values: list[T]
    own: int = 0


def gather_numbers(numbers: Sequence[int], at_most: int = 1) -> Gathered[list[int]]:
    """Return the numbers of each rank, which may have different counts of them, up to `at_most`.

    Exchanged between the hosts where the process group can: no device is waited for.
    """
    if not is_distributed():
        return Gathered([list(numbers)])
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    row = [len(numbers), *numbers, *[0] * (at_most - len(numbers))]
    own = torch.tensor(row, device=device)
    gathered = [torch.zeros_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, own)
    rows = torch.stack(gathered).tolist()
    return Gathered([row[1 : 1 + row[0]] for row in rows], dist.get_rank())


def barrier() -> None:
    """Wait until every rank is here."""
    if is_distributed():
        dist.barrier()


def gather_objects[T](value: T) -> Gathered[T]:
    """Return what each rank gives, of any kind that can be pickled."""
    if not is_distributed():
        return Gathered([value])
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, value)
    return Gathered(gathered, dist.get_rank())

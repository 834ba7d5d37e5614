"""Make every rank see the frames of all ranks; without a process group these change nothing."""

import torch
import torch.distributed as dist


def all_reduce_sum(*tensors: torch.Tensor) -> None:
    """Replace each tensor, in place, by its sum over all ranks."""
    if dist.is_available() and dist.is_initialized():
        for tensor in tensors:
            dist.all_reduce(tensor, dist.ReduceOp.SUM)


def all_gather_frames(frames: torch.Tensor) -> torch.Tensor:
    """Return the frames (N_r, D) of all ranks, one rank after the other: (sum of N_r, D)."""
    if not (dist.is_available() and dist.is_initialized()):
        return frames
    world_size = dist.get_world_size()
    count = torch.tensor([len(frames)], device=frames.device)
    counts = [torch.zeros_like(count) for _ in range(world_size)]
    dist.all_gather(counts, count)
    longest = int(torch.stack(counts).max())
    # Collectives want equal shapes; ranks may hold different numbers of valid frames.
    padded = frames.new_zeros(longest, frames.shape[1])
    padded[: len(frames)] = frames
    gathered = [torch.zeros_like(padded) for _ in range(world_size)]
    dist.all_gather(gathered, padded)
    return torch.cat([part[: int(n)] for part, n in zip(gathered, counts, strict=True)])

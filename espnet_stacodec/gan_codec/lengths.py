"""Padded batches: which frames are valid, and which items share a length."""

from collections.abc import Iterator

import torch


def length_mask(lengths: torch.Tensor, maximum: int) -> torch.Tensor:
    """Return a (B, maximum) mask, true below each of lengths (B,)."""
    return torch.arange(maximum, device=lengths.device) < lengths.unsqueeze(1)


def groups_of_equal_length(lengths: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield (length, (b,) row indices) for each different length in lengths (B,).

    Losses with windows are taken group by group, each cut to its length: then padding is never
    seen, not even by a window or a convolution that reaches past the end.
    """
    for length in lengths.unique().tolist():
        yield length, (lengths == length).nonzero().squeeze(1)

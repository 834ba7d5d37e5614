"""Weights as files keep them: in half precision, and without what can be computed from the rest.

Half precision is a matter of files: networks are built in float32, and loading fills them.
"""

from collections.abc import Mapping

import torch

from espnet_stacodec.errors import ModelError

# Buffers of a codebook; see gan_codec/quantizer/codebook.py.
ENTRIES, COUNTS, SUMS = ".embed", ".cluster_size", ".embed_sum"


def in_half(state: Mapping[str, torch.Tensor], where: object) -> dict[str, torch.Tensor]:
    """Return weights as float16.

    Only tensors of two and more dimensions are rounded. The others are small, and among them are
    running counts, which decide whether an entry of a codebook can be chosen.

    Args:
        state: By name.
        where: Named in errors.

    Raises:
        ModelError: If a finite weight is beyond the largest number of float16, 65504.
    """
    rounded = {}
    for name, value in state.items():
        is_large = value.is_floating_point() and value.dim() > 1
        rounded[name] = value.to(torch.float16) if is_large else value
        if (~rounded[name].isfinite() & value.isfinite()).any():
            raise ModelError(
                f"{where}: {name} has {value.abs().max():g}, beyond float16's largest number; keep"
                " it in float32."
            )
    return rounded


def without_sums(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights without the running sums of codebooks, which only a training needs."""
    return {name: value for name, value in state.items() if not name.endswith(SUMS)}


def with_sums(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights with the running sums of codebooks that lack them: entries times counts."""
    complete = dict(state)
    for name in state:
        codebook = name.removesuffix(ENTRIES)
        if codebook != name and codebook + COUNTS in state and codebook + SUMS not in state:
            counts = state[codebook + COUNTS]
            complete[codebook + SUMS] = state[name].to(counts) * counts.unsqueeze(1)
    return complete

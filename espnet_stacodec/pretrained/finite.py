"""Weights with NaN or infinite numbers, as a training leaves that diverged, or a damaged file."""

from collections.abc import Mapping

import torch

from espnet_stacodec.errors import ModelError


def check_finite(weights: Mapping[str, torch.Tensor], where: object) -> None:
    """Check that a codec can compute with the weights of a file.

    Args:
        weights: By the names that they have in the file.
        where: The file; named in the error.

    Raises:
        ModelError: If some are NaN or infinite.
    """
    bad = {name: value for name, value in weights.items() if not value.isfinite().all()}
    if not bad:
        return
    name, value = next(iter(bad.items()))
    others = f", as have {len(bad) - 1} more tensors" if len(bad) > 1 else ""
    raise ModelError(
        f"{where}: {name} has NaN or infinite numbers, {int((~value.isfinite()).sum())} of"
        f" {value.numel()}{others}; take another checkpoint, or get the file again."
    )

"""Products of a few rows with large matrices, as streams take them frame by frame, on a CPU.

Their time is that of reading the matrix. Where its numbers are all numbers of float16
(`round_to_half`), a copy in float16 is read, half as many bytes; products are summed in float32, so
that the result is that of the float32 matrix but for the order of its sums.
"""

import itertools
import weakref
from typing import Any

import torch
from torch import nn

from espnet_stacodec.errors import ModelError

# From so many rows on, computing takes longer than reading.
MOST_ROWS = 32
# Smaller matrices stay in a core's cache.
FEWEST_WEIGHTS = 2**15

# By what holds a matrix: its copies, by name, with the version of the matrix that they are of.
Copies = dict[str, tuple[Any, Any]]
_copies: weakref.WeakKeyDictionary[nn.Module, Copies] = weakref.WeakKeyDictionary()


@torch.no_grad()
def round_to_half(network: nn.Module) -> None:
    """Round the weights of linear, convolutional and recurrent layers to numbers of float16.

    Raises:
        ModelError: If one is beyond the largest number of float16, 65504.
    """
    largest = torch.finfo(torch.float16).max
    for where, layer in network.named_modules():
        if isinstance(layer, nn.Linear | nn.LSTM | nn.Conv1d | nn.ConvTranspose1d):
            # Folded weights are buffers.
            of_layer = layer.named_parameters(recurse=False), layer.named_buffers(recurse=False)
            for name, weight in itertools.chain(*of_layer):
                if weight.dim() > 1:
                    if weight.abs().max() > largest:
                        raise ModelError(
                            f"{where}.{name} has {weight.abs().max():g}, beyond float16's largest"
                            " number; compute in float32."
                        )
                    weight.copy_(weight.half())


def product(
    rows: torch.Tensor,
    matrix: torch.Tensor,
    bias: torch.Tensor | None,
    holder: nn.Module,
    name: str = "weight",
) -> torch.Tensor:
    """Return `nn.functional.linear(rows, matrix, bias)`.

    Args:
        rows: (..., I).
        matrix: (O, I), fixed as long as `holder` keeps it under `name`.
        bias: (O,), or None.
        holder: The layer that the matrix is a parameter of, perhaps in another form.
        name: Which one of its parameters.
    """
    copy = _copy(matrix, bias, holder, name) if _reading_counts(rows, matrix, bias) else None
    if copy is None:
        return nn.functional.linear(rows, matrix, bias)
    return torch.ops.quantized.linear_dynamic_fp16(rows.contiguous(), copy)


class Linear(nn.Linear):
    """`torch.nn.Linear`, whose product with few rows is that of this module."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (..., I). Returns (..., O)."""
        return product(x, self.weight, self.bias, self)


def _reading_counts(rows: torch.Tensor, matrix: torch.Tensor, bias: torch.Tensor | None) -> bool:
    """Return whether a copy in float16 can be used for this product, and pays."""
    few = rows.dim() > 1 and rows.numel() <= MOST_ROWS * rows.shape[-1]
    of_float32 = rows.dtype == matrix.dtype == torch.float32 and rows.device.type == "cpu"
    # Its product has no gradient.
    learns = any(x is not None and x.requires_grad for x in (rows, matrix, bias))
    plain = not (learns or torch.is_autocast_enabled("cpu"))
    return few and matrix.numel() >= FEWEST_WEIGHTS and of_float32 and plain


def _copy(
    matrix: torch.Tensor, bias: torch.Tensor | None, holder: nn.Module, name: str
) -> Any | None:
    """Return the copy in float16 for fbgemm; None if the matrix has other numbers."""
    kept = getattr(holder, name)
    # Tensors that were made in torch.inference_mode count no versions.
    version = (kept.data_ptr(), None if kept.is_inference() else kept._version)
    known = _copies.setdefault(holder, {})
    if name not in known or known[name][0] != version:
        exact = _has_fbgemm() and torch.equal(matrix.half().float(), matrix)
        packed = torch.ops.quantized.linear_prepack_fp16(matrix, bias) if exact else None
        known[name] = (version, packed)
    return known[name][1]


def _has_fbgemm() -> bool:
    return torch.backends.quantized.engine in ("x86", "fbgemm")

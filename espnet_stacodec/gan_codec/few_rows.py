"""Products of a few rows with large matrices, as streams and LSTMs take them, on a CPU.

Their time is that of reading the matrix. Where its numbers are all numbers of float16
(`round_to_half`), a copy in float16 is read, half as many bytes; products are summed in float32, so
that the result is that of the float32 matrix but for the order of its sums.
"""

import itertools
import weakref
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

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


class LSTM(nn.LSTM):
    """`torch.nn.LSTM`, whose products with few rows, those of each step, read this module's copies.

    For LSTMs with biases and without projections.
    """

    def forward(self, input, hx=None):
        """As that of `torch.nn.LSTM`, for a batch."""
        packed = isinstance(input, PackedSequence)
        x, sizes = (input.data, [input.batch_sizes]) if packed else (input, [])
        rows = x[: int(sizes[0][0])] if packed else x.select(int(self.batch_first), 0)
        # What a packed batch begins with stands in another order than its items.
        cells = None if packed and hx is not None else self._cells(rows)
        if cells is None:
            return super().forward(input, hx)
        if hx is None:
            shape = ((1 + self.bidirectional) * self.num_layers, len(rows), self.hidden_size)
            hx = x.new_zeros(shape), x.new_zeros(shape)
        layout = [] if packed else [self.batch_first]
        options = (True, self.num_layers, 0.0, False, self.bidirectional, *layout)
        y, *states = torch.quantized_lstm(
            x, *sizes, hx, cells, *options, dtype=torch.float16, use_dynamic=True
        )
        if not packed:
            return y, tuple(states)
        if input.unsorted_indices is not None:
            states = [state.index_select(1, input.unsorted_indices) for state in states]
        return input._replace(data=y), tuple(states)

    def _cells(self, rows: torch.Tensor) -> list[Any] | None:
        """Return the copies of each layer and direction; None if they cannot be used for a step.

        Args:
            rows: (B, I) input of a step.
        """
        cells = []
        for names in self._all_weights:
            copies = []
            for name, bias_name in zip(names[:2], names[2:], strict=True):
                matrix, bias = getattr(self, name), getattr(self, bias_name)
                if not _reading_counts(rows, matrix, bias):
                    return None
                copies.append(_copy(matrix, bias, self, name))
                if copies[-1] is None:
                    return None
            cells.append(torch.ops.quantized.make_quantized_cell_params_fp16(*copies))
        return cells


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

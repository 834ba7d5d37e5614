"""How many floating-point operations a network makes."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn


class Operations:
    """Multiplications and additions of matrix products, convolutions and recurrences.

    Attributes:
        by_kind: Their number, by what makes them: "convolutions", "LSTM", "transformer", "other".
    """

    def __init__(self) -> None:
        self.by_kind = dict.fromkeys(("convolutions", "LSTM", "transformer", "other"), 0.0)

    @property
    def total(self) -> float:
        """All of them."""
        return sum(self.by_kind.values())

    @contextlib.contextmanager
    def counted(self, network: nn.Module) -> Iterator[None]:
        """Count, while the network runs in this block."""
        inside = {
            id(part)
            for module in network.modules()
            if isinstance(module, nn.TransformerEncoderLayer)
            for part in module.modules()
            if part is not module
        }
        hooks = [
            module.register_forward_hook(self._count)
            for module in network.modules()
            if isinstance(module, COUNTED) and id(module) not in inside
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _count(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        first = inputs[0]
        if isinstance(module, nn.Conv1d):
            frames = output.shape[0] * output.shape[-1]
            self.by_kind["convolutions"] += 2 * module.weight.numel() * frames
        elif isinstance(module, nn.ConvTranspose1d):
            frames = first.shape[0] * first.shape[-1]
            self.by_kind["convolutions"] += 2 * module.weight.numel() * frames
        elif isinstance(module, nn.LSTM):
            matrices = sum(p.numel() for p in module.parameters() if p.dim() == 2)
            self.by_kind["LSTM"] += 2 * matrices * first.shape[0] * first.shape[1]
        elif isinstance(module, nn.TransformerEncoderLayer):
            windows, frames, hidden = first.shape
            matrices = sum(p.numel() for p in module.parameters() if p.dim() == 2)
            products = 4 * windows * frames**2 * hidden  # queries by keys, weights by values
            self.by_kind["transformer"] += 2 * matrices * windows * frames + products
        elif isinstance(module, nn.Linear):
            self.by_kind["other"] += 2 * module.weight.numel() * first.numel() / first.shape[-1]


COUNTED = (nn.Conv1d, nn.ConvTranspose1d, nn.LSTM, nn.TransformerEncoderLayer, nn.Linear)


def count(network: nn.Module, run: Any) -> Operations:
    """Return the operations of run(), which runs the network."""
    operations = Operations()
    # A hook keeps torch from its fused transformer layer: the same operations.
    with torch.inference_mode(), operations.counted(network):
        run()
    return operations

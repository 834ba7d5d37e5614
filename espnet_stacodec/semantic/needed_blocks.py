"""Leave out the blocks of a speech model behind the layer whose features are used."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn


class Blocks:
    """The successive blocks of a network, found by what they do in one run of it.

    Args:
        network: The model.
        layer: Index of the hidden state that is used: the input of the block of that index.
    """

    def __init__(self, network: nn.Module, layer: int) -> None:
        self.layer = layer
        self.lists = [
            module
            for module in network.modules()
            if isinstance(module, nn.ModuleList) and len(module) > layer
        ]
        self._outputs: dict[int, Any] = {}

    @contextlib.contextmanager
    def observed(self) -> Iterator[None]:
        """Note, while the network runs in this block, what its blocks return."""

        def note(block: nn.Module, inputs: Any, output: Any) -> None:
            self._outputs[id(block)] = _blank(output)

        hooks = [blocks[self.layer].register_forward_hook(note) for blocks in self.lists]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def skip(self, number: int) -> list[nn.Module]:
        """Let the blocks from `layer` on return what they get; returns them.

        Args:
            number: Blocks of the network, one less than its hidden states: where no list of blocks
                has as many, none are skipped.
        """
        for blocks in self.lists:
            if len(blocks) == number and id(blocks[self.layer]) in self._outputs:
                skipped = list(blocks)[self.layer :]
                for block in skipped:
                    # On the block, not in its place: other code looks for its class and its hooks.
                    block.forward = _Passed(self._outputs[id(blocks[self.layer])])
                return skipped
        return []

    @staticmethod
    def restore(skipped: list[nn.Module]) -> None:
        """Undo `skip`."""
        for block in skipped:
            del block.forward


class _Passed:
    """Returns its first input in the form of a block's output."""

    def __init__(self, blank: Any) -> None:
        self.blank = blank

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        first = next(v for v in (*inputs, *named.values()) if isinstance(v, torch.Tensor))
        return first if self.blank is None else (first, *self.blank[1:])


def _blank(output: Any) -> Any:
    """Return the form of an output: None for what is no tuple."""
    return tuple(_blank(part) for part in output) if isinstance(output, tuple) else None

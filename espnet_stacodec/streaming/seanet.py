"""A causal SEANet on whole frames as they come, with the outputs that it has on the whole.

Convolutions remember the end of their input, transposed ones what is to be added to their next
output, LSTMs their state. The weights are those of the network, which stays as it is.
"""

import itertools
from collections.abc import Mapping

import torch
from espnet2.gan_codec.shared.decoder.seanet import SConvTranspose1d
from espnet2.gan_codec.shared.encoder.seanet import SConv1d, SEANetResnetBlock
from torch import nn

from espnet_stacodec.gan_codec.few_rows import product
from espnet_stacodec.gan_codec.lookahead import Memory
from espnet_stacodec.gan_codec.seanet import SEANet, SkipLSTM

# Up to so many frames plain products are faster on a CPU than torch's convolutions and LSTMs, which
# pack all weights anew at each call.
FEW_FRAMES = 8


class _Steps:
    """A layer that keeps nothing in between, and the base of those that do."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer

    def sizes(self) -> Mapping[str, tuple[int, ...]]:
        """Return the shape of what is remembered of a stream, by name."""
        return {}

    def __call__(self, x: torch.Tensor, memory: Memory) -> torch.Tensor:
        """x: (B, C, F) the next frames. Returns (B, C', F')."""
        return self.layer(x)


class _Convolution(_Steps):
    """Remembers as much of its input as a kernel reaches back."""

    def __init__(self, layer: SConv1d, name: str) -> None:
        super().__init__(layer.conv.conv)
        self.conv = conv = layer.conv.conv
        self.name = name
        self.reach = (conv.kernel_size[0] - 1) * conv.dilation[0] + 1 - conv.stride[0]

    def sizes(self) -> Mapping[str, tuple[int, ...]]:
        return {self.name: (self.conv.in_channels, self.reach)} if self.reach else {}

    def __call__(self, x: torch.Tensor, memory: Memory) -> torch.Tensor:
        if self.reach:
            kept = memory[self.name]
            x = torch.cat([kept.to(x.dtype), x], 2)
            kept.copy_(x[..., -self.reach :])
        windows = x.unfold(2, self.conv.kernel_size[0], self.conv.stride[0])
        if _on_cpu(x) and self.conv.dilation[0] == 1 and windows.shape[2] <= FEW_FRAMES:
            # One product: what torch takes for so short an input is several times slower.
            rows = windows.transpose(1, 2).flatten(2)
            matrix = self.conv.weight.flatten(1)
            return product(rows, matrix, self.conv.bias, self.conv).transpose(1, 2)
        return self.layer(x)


class _TransposedConvolution(_Steps):
    """Remembers what its input so far adds to its next output.

    A SEANet's kernels are two strides long: an output is the sum of what two inputs make of it.
    """

    def __init__(self, layer: SConvTranspose1d, name: str) -> None:
        super().__init__(layer.convtr.convtr)
        self.conv = layer.convtr.convtr
        self.name = name
        self.stride = self.conv.stride[0]

    def sizes(self) -> Mapping[str, tuple[int, ...]]:
        return {self.name: (self.conv.out_channels, self.stride)}

    def __call__(self, x: torch.Tensor, memory: Memory) -> torch.Tensor:
        kept, bias = memory[self.name], self.conv.bias
        made = product(x.transpose(1, 2), self.conv.weight.flatten(1).T, None, self.conv)
        # (B, C', F, 2, stride): what each input adds to its own output and to the next one.
        parts = made.unflatten(2, (self.conv.out_channels, 2, self.stride)).transpose(1, 2)
        own, later = parts.unbind(3)
        y = own + torch.cat([kept.to(x.dtype).unsqueeze(2), later[:, :, :-1]], 2)
        kept.copy_(later[:, :, -1])
        y = y.flatten(2)
        return y if bias is None else y + bias.unsqueeze(1)


class _Recurrence(_Steps):
    """Remembers the state of an LSTM."""

    def __init__(self, layer: SkipLSTM, name: str) -> None:
        super().__init__(layer)
        self.lstm = layer.lstm
        self.names = (f"{name}.output", f"{name}.cell")

    def sizes(self) -> Mapping[str, tuple[int, ...]]:
        return dict.fromkeys(self.names, (self.lstm.num_layers, self.lstm.hidden_size))

    def __call__(self, x: torch.Tensor, memory: Memory) -> torch.Tensor:
        kept = [memory[name].transpose(0, 1).contiguous() for name in self.names]
        x = x.transpose(1, 2)
        few = _on_cpu(x) and x.shape[1] <= FEW_FRAMES
        y, *states = self._few_frames(x, *kept) if few else self._many_frames(x, *kept)
        for name, state in zip(self.names, states, strict=True):
            memory[name].copy_(state.transpose(0, 1))
        return (y + x).transpose(1, 2)

    def _many_frames(
        self, x: torch.Tensor, output: torch.Tensor, cell: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """x: (B, F, D); output, cell: (layers, B, D). Returns them after the last frame, too."""
        y, states = self.lstm(x, (output, cell))
        return y, *states

    def _few_frames(
        self, x: torch.Tensor, output: torch.Tensor, cell: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The same, cell by cell: on a CPU torch's LSTM repacks all weights at each call."""
        outputs, cells = list(output), list(cell)
        for layer in range(self.lstm.num_layers):
            states = outputs[layer], cells[layer]
            after = []
            for frame in x.unbind(1):
                states = self._cell(layer, frame, *states)
                after.append(states[0])
            x = torch.stack(after, 1)
            outputs[layer], cells[layer] = states
        return x, torch.stack(outputs), torch.stack(cells)

    def _cell(
        self, layer: int, x: torch.Tensor, output: torch.Tensor, cell: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One frame (B, D) through a layer, as `torch.lstm_cell`; returns its states (B, D)."""
        parts = []
        for kind, rows in (("ih", x), ("hh", output)):
            name = f"weight_{kind}_l{layer}"
            bias = getattr(self.lstm, f"bias_{kind}_l{layer}")
            parts.append(product(rows, getattr(self.lstm, name), bias, self.lstm, name))
        entry, forget, new, leaving = (parts[0] + parts[1]).chunk(4, 1)
        cell = forget.sigmoid() * cell + entry.sigmoid() * new.tanh()
        return leaving.sigmoid() * cell.tanh(), cell


class _Residual(_Steps):
    """A residual block; its shortcut is the identity."""

    def __init__(self, layer: SEANetResnetBlock, name: str) -> None:
        super().__init__(layer.shortcut)
        self.block = _Sequence(layer.block, name)

    def sizes(self) -> Mapping[str, tuple[int, ...]]:
        return self.block.sizes()

    def __call__(self, x: torch.Tensor, memory: Memory) -> torch.Tensor:
        return self.layer(x) + self.block(x, memory)


class _Sequence(_Steps):
    """Layers one after the other."""

    def __init__(self, layer: nn.Module, name: str) -> None:
        super().__init__(layer)
        self.parts = [_steps(part, f"{name}.{i}") for i, part in enumerate(layer.children())]

    def sizes(self) -> Mapping[str, tuple[int, ...]]:
        return dict(itertools.chain.from_iterable(part.sizes().items() for part in self.parts))

    def __call__(self, x: torch.Tensor, memory: Memory) -> torch.Tensor:
        for part in self.parts:
            x = part(x, memory)
        return x


def _steps(layer: nn.Module, name: str) -> _Steps:
    """Return how a layer of a SEANet runs on the next frames."""
    if isinstance(layer, SConv1d):
        return _Convolution(layer, name)
    if isinstance(layer, SConvTranspose1d):
        return _TransposedConvolution(layer, name)
    if isinstance(layer, SkipLSTM):
        return _Recurrence(layer, name)
    if isinstance(layer, SEANetResnetBlock):
        return _Residual(layer, name)
    return _Steps(layer)


def _on_cpu(x: torch.Tensor) -> bool:
    return x.device.type == "cpu"


class SEANetSteps:
    """A causal SEANet that is given the next frames of several streams.

    Args:
        network: The network, weight norm folded or not.
        name: Begins the names of what is remembered.
    """

    def __init__(self, network: SEANet, name: str) -> None:
        self._layers = _Sequence(network.model, name)

    def memory(self, streams: int) -> Memory:
        """Return what new streams remember."""
        weight = next(self._layers.layer.parameters())
        return {
            name: weight.new_zeros(streams, *size) for name, size in self._layers.sizes().items()
        }

    def __call__(self, x: torch.Tensor, memory: Memory) -> torch.Tensor:
        """Run the network.

        Args:
            x: (B, C, F) the next samples of each stream, whole frames; or its next latents.
            memory: What the streams remember, which is changed.

        Returns:
            (B, C', F') latents, or samples.
        """
        return self._layers(x, memory)

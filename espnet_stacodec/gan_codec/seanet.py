"""ESPnet's SEANet with the paper's bidirectional LSTM, and padding that never counts."""

import itertools
from collections.abc import Callable
from typing import Any

import torch
from espnet2.gan_codec.shared.decoder.seanet import SConvTranspose1d, SEANetDecoder
from espnet2.gan_codec.shared.encoder.seanet import SLSTM, SConv1d, SEANetEncoder
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from espnet_stacodec.gan_codec.few_rows import LSTM
from espnet_stacodec.gan_codec.lengths import length_mask


class SkipLSTM(nn.Module):
    """An LSTM with a skip connection; a bidirectional one is projected back to its input's width.

    Args:
        dimension: Channels in and out, D.
        num_layers: LSTM layers.
        bidirectional: Whether it reads both ways, as the paper's does.
    """

    def __init__(self, dimension: int, num_layers: int, bidirectional: bool) -> None:
        super().__init__()
        self.lstm = LSTM(
            dimension, dimension, num_layers, bidirectional=bidirectional, batch_first=True
        )
        self.projection = nn.Linear(2 * dimension, dimension) if bidirectional else nn.Identity()

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """x: (B, D, T); lengths: (B,) valid frames, None if all T are. Returns (B, D, T)."""
        x = x.transpose(1, 2)
        if lengths is None:
            y, _ = self.lstm(x)
        else:
            # Packed, so that reading backward starts at each item's own end.
            packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            y, _ = pad_packed_sequence(
                self.lstm(packed)[0], batch_first=True, total_length=x.shape[1]
            )
        return (self.projection(y) + x).transpose(1, 2)


class SEANet(nn.Module):
    """An ESPnet SEANet network whose output for an item is the same alone and in a padded batch.

    Non-causal convolutions see zeros past the end of an item that stands alone. In a batch the
    frames past the end are therefore set to zero again before every layer.

    Args:
        network: `SEANetEncoder` or `SEANetDecoder`.
        bidirectional: Whether its LSTM, if it has one, reads both ways.
    """

    def __init__(self, network: SEANetEncoder | SEANetDecoder, bidirectional: bool) -> None:
        super().__init__()
        self.model = network.model
        # By which factor each layer changes the number of frames.
        self.scales = [_scale(layer) for layer in self.model]
        for index, layer in enumerate(self.model):
            if isinstance(layer, SLSTM):
                lstm = layer.lstm
                self.model[index] = SkipLSTM(lstm.input_size, lstm.num_layers, bidirectional)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Run the network.

        Args:
            x: (B, C, T) audio or latents.
            lengths: (B,) valid frames of x; None if all are valid. Where they are not whole
                strides, each convolution pads its own input, for an item as if it were alone.

        Returns:
            (B, C', T') latents or audio, zero past the end of each item.
        """
        if len(x) > 1 and x.device.type == "cpu" and not torch.is_grad_enabled():
            return self._on_cpu(x, lengths)
        if lengths is None:
            return self.model(x)
        for layer, (up, down) in zip(self.model, self.scales, strict=True):
            x = _zero_padding(x, lengths)
            x = layer(x, lengths) if isinstance(layer, SkipLSTM) else layer(x)
            lengths = -(-lengths * up // down)
        return _zero_padding(x, lengths)

    def _on_cpu(self, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Run convolutions item by item and recurrent layers on all items; see `forward`.

        A recurrent layer reads all its weights at every frame: for several items in the time that
        one takes, nearly. Convolutions gain nothing in a batch, whose signals fit no cache.
        """
        valid = [x.shape[-1]] * len(x) if lengths is None else lengths.tolist()
        items = [row[None, :, :length] for row, length in zip(x, valid, strict=True)]
        for recurrent, layers in itertools.groupby(
            self.model, lambda layer: isinstance(layer, SkipLSTM)
        ):
            run = nn.Sequential(*layers)
            if not recurrent:
                items = [run(item) for item in items]
                continue
            frames = [item.shape[-1] for item in items]
            padded = _pad(items)
            for layer in run:
                padded = layer(padded, torch.tensor(frames) if len(set(frames)) > 1 else None)
            items = [row[None, :, :length] for row, length in zip(padded, frames, strict=True)]
        return _pad(items)


def build_seanet(
    network: Callable[..., SEANetEncoder | SEANetDecoder], bidirectional: bool, **sizes: Any
) -> SEANet:
    """Build the paper's SEANet: zero padding, true skips, residual kernels of 3.

    Args:
        network: `SEANetEncoder` or `SEANetDecoder`.
        bidirectional: Whether its LSTM reads both ways.
        sizes: Further arguments of the network, `causal` among them: convolutions then are padded
            on the left, transposed ones trimmed on the right.
    """
    return SEANet(
        network(pad_mode="constant", true_skip=True, residual_kernel_size=3, **sizes),
        bidirectional,
    )


def _scale(layer: nn.Module) -> tuple[int, int]:
    """Return by how much a layer multiplies and divides the number of frames."""
    if isinstance(layer, SConv1d):
        return 1, layer.conv.conv.stride[0]
    if isinstance(layer, SConvTranspose1d):
        return layer.convtr.convtr.stride[0], 1
    return 1, 1


def _zero_padding(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """x: (B, C, T); returns it with zeros from `lengths` (B,) on."""
    return x * length_mask(lengths, x.shape[-1]).unsqueeze(1)


def _pad(items: list[torch.Tensor]) -> torch.Tensor:
    """items: (1, C, T_i) each. Returns (B, C, longest), with zeros past the end of each item."""
    return pad_sequence([item[0].T for item in items], batch_first=True).transpose(1, 2)

"""A stack of ConvNeXt blocks over frames (arXiv 2201.03545; over time as in Vocos, 2306.00814)."""

import torch
from torch import nn

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.gan_codec.few_rows import Linear
from espnet_stacodec.gan_codec.lengths import length_mask

LAYER_NORM_EPS = 1e-6  # ConvNeXt's
FIRST_SCALE = 0.1  # of what a block adds to its input, before training


class Block(nn.Module):
    """A depthwise convolution over time and a feed-forward layer for each frame.

    Args:
        channels: Width, C.
        kernel: Frames that the convolution sees.
        expansion: Width of the feed-forward layer, in C.
        padding: Frames of zeros before and after those that the convolution gets.
    """

    def __init__(self, channels: int, kernel: int, expansion: float, padding: int) -> None:
        super().__init__()
        hidden = round(channels * expansion)
        # In two dimensions, since the frames (B, T, C) are then its channels-last layout as they
        # lie: without copies, and several times as fast on a CPU as a Conv1d.
        self.depthwise = nn.Conv2d(
            channels, channels, (1, kernel), padding=(0, padding), groups=channels
        )
        self.norm = nn.LayerNorm(channels, eps=LAYER_NORM_EPS)
        self.expand = Linear(channels, hidden)
        self.reduce = Linear(hidden, channels)
        self.scale = nn.Parameter(torch.full((channels,), FIRST_SCALE))

    def added(self, x: torch.Tensor) -> torch.Tensor:
        """x: (B, T, C). Returns what is added to the frames (B, T', C), T' as padding makes it."""
        y = self.depthwise(x.transpose(1, 2).unsqueeze(2)).squeeze(2).transpose(1, 2)
        return self.scale * self.reduce(nn.functional.gelu(self.expand(self.norm(y))))


class ConvNeXtBlock(Block):
    """A block whose convolution has its frame in the middle.

    Raises:
        ConfigError: If `kernel` is not odd.
    """

    def __init__(self, channels: int, kernel: int, expansion: float) -> None:
        if kernel % 2 == 0:
            raise ConfigError(
                f"A kernel of {kernel} frames has no middle frame; give an odd number."
            )
        super().__init__(channels, kernel, expansion, padding=kernel // 2)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """x: (B, T, C); mask: (B, T, 1), false where padded, or None. Returns (B, T, C)."""
        return x + self.added(x if mask is None else x * mask)


class ConvNeXt(nn.Module):
    """Embeds frames, lets blocks look at their neighbours, and projects them.

    Padding is never seen: an item gets the same alone and in a padded batch.

    Args:
        inputs: Features of a frame that goes in, F.
        outputs: Features of a frame that comes out, G.
        channels: Width of the blocks.
        blocks: How many there are.
        kernel: Frames that the convolution of a block sees; odd.
        expansion: Width of a block's feed-forward layer, in channels.

    Raises:
        ConfigError: If `kernel` is not odd, or a size is too small.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        channels: int = 256,
        blocks: int = 4,
        kernel: int = 7,
        expansion: float = 3.0,
    ) -> None:
        super().__init__()
        _check_sizes(channels, blocks, kernel, expansion)
        self.embed = Linear(inputs, channels)
        self.embed_norm = nn.LayerNorm(channels, eps=LAYER_NORM_EPS)
        self.blocks = nn.ModuleList(
            self.new_block(channels, kernel, expansion) for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(channels, eps=LAYER_NORM_EPS)
        self.project = Linear(channels, outputs)

    def new_block(self, channels: int, kernel: int, expansion: float) -> Block:
        """Return a block of the stack; arguments as for these."""
        return ConvNeXtBlock(channels, kernel, expansion)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Run the stack.

        Args:
            x: (B, T, F).
            lengths: (B,) valid frames; None if all T are.

        Returns:
            (B, T, G); what stands past the end of an item is undefined.
        """
        mask = None if lengths is None else length_mask(lengths, x.shape[1]).unsqueeze(2)
        x = self.embed_norm(self.embed(x))
        for block in self.blocks:
            x = block(x, mask)
        return self.project(self.norm(x))


def _check_sizes(channels: int, blocks: int, kernel: int, expansion: float) -> None:
    """Raise ConfigError if a stack cannot have one of these sizes; arguments as of `ConvNeXt`."""
    sizes = {"channels": (channels, 1), "blocks": (blocks, 0), "kernel": (kernel, 1)}
    for name, (given, lowest) in sizes.items():
        if given < lowest:
            raise ConfigError(f"A ConvNeXt stack has {name} {given}; give {lowest} or more.")
    if round(channels * expansion) < 1:
        raise ConfigError(
            f"A ConvNeXt stack of {channels} channels has nothing left with expansion {expansion};"
            " give e.g. 3.0."
        )

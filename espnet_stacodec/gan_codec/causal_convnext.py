"""ConvNeXt stacks that see the past of a frame, and at most a few frames of its future.

They take the place of `convnext.ConvNeXt` in a codec that streams. The same weights run in two ways
with equal results: on whole sequences (`forward`), and on frames as they come (`step`).
"""

from typing import cast

import torch
from torch import nn

from espnet_stacodec.gan_codec.convnext import LAYER_NORM_EPS, ConvNeXtBlock, check_sizes
from espnet_stacodec.gan_codec.few_rows import Linear
from espnet_stacodec.gan_codec.lookahead import LooksAhead, Memory


class CausalConvNeXtBlock(ConvNeXtBlock):
    """A `ConvNeXtBlock` whose convolution ends with the frame that it makes."""

    def __init__(self, channels: int, kernel: int, expansion: float) -> None:
        super().__init__(channels, kernel, expansion)
        self.reach = kernel - 1
        self.depthwise.padding = (0, 0)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """x: (B, T, C); what is padded needs no mask, as it comes last. Returns (B, T, C)."""
        return self._after(nn.functional.pad(x, (0, 0, self.reach, 0)))

    def step(self, x: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """The next frames (B, F, C) after the last ones, kept: (B, kernel - 1, C), is changed."""
        x = torch.cat([kept.to(x.dtype), x], 1)
        kept.copy_(x[:, x.shape[1] - self.reach :])
        return self._after(x)

    def _after(self, x: torch.Tensor) -> torch.Tensor:
        """x: (B, kernel - 1 + T, C). Returns (B, T, C)."""
        return x[:, self.reach :] + self.scale * self._of_each_frame(self._mixed(x))


class CausalConvNeXt(LooksAhead):
    """Embeds frames, lets blocks look back at earlier ones, and projects them.

    Args:
        inputs: Features of a frame that goes in, F.
        outputs: Features of a frame that comes out, G.
        channels: Width of the blocks.
        blocks: How many there are.
        kernel: Frames that the convolution of a block sees.
        expansion: Width of a block's feed-forward layer, in channels.
        lookahead_frames: Later frames that the output of a frame depends on, 0 to 8.

    Raises:
        ConfigError: If `lookahead_frames` is out of its range, or a size is too small.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        channels: int = 256,
        blocks: int = 4,
        kernel: int = 7,
        expansion: float = 3.0,
        lookahead_frames: int = 0,
    ) -> None:
        super().__init__(lookahead_frames)
        check_sizes(channels, blocks, kernel, expansion)
        self.inputs = inputs
        self.reach = kernel - 1
        self.embed = Linear(inputs * (lookahead_frames + 1), channels)
        self.embed_norm = nn.LayerNorm(channels, eps=LAYER_NORM_EPS)
        self.blocks = nn.ModuleList(
            CausalConvNeXtBlock(channels, kernel, expansion) for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(channels, eps=LAYER_NORM_EPS)
        self.project = Linear(channels, outputs)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Run the stack on whole sequences.

        Args:
            x: (B, T, F).
            lengths: (B,) valid frames; None if all T are.

        Returns:
            (B, T, G); what stands past the end of an item is undefined.
        """
        x = self._embedded(self.whole(x.transpose(1, 2), lengths))
        for block in self.blocks:
            x = block(x)
        return self.project(self.norm(x))

    def memory(self, streams: int, name: str) -> Memory:
        """Return what new streams remember.

        Args:
            streams: How many they are, B.
            name: Begins the names of what is remembered.
        """
        weight = self.project.weight
        kept = {
            f"{name}.{i}": weight.new_zeros(streams, self.reach, weight.shape[1])
            for i in range(len(self.blocks))
        }
        return {**self.waiting(streams, weight, self.inputs, name), **kept}

    def step(self, x: torch.Tensor, memory: Memory, name: str) -> torch.Tensor:
        """Run the stack on the next frames of streams.

        Args:
            x: (B, T, F). After the last frames of a stream, zeros for those looked ahead at.
            memory: What the streams remember, which is changed; see `LooksAhead.arrived`.
            name: As for `memory`.

        Returns:
            (B, T', G) of the frames that now are known to be complete.
        """
        x = self.arrived(x.transpose(1, 2), memory, name)
        if not x.shape[2]:
            return x.new_zeros(len(x), 0, self.project.out_features)
        x = self._embedded(x)
        for i, block in enumerate(self.blocks):
            x = cast(CausalConvNeXtBlock, block).step(x, memory[f"{name}.{i}"])
        return self.project(self.norm(x))

    def _embedded(self, x: torch.Tensor) -> torch.Tensor:
        """x: (B, F, T + lookahead). Returns (B, T, C)."""
        return self.embed_norm(self.embed(self.seen_together(x)))

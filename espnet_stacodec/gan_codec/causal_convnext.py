"""ConvNeXt stacks that see the past of a frame, and at most a few frames of its future.

They take the place of `convnext.ConvNeXt` in a codec that streams. The same weights run in two ways
with equal results: on whole sequences (`forward`), and on frames as they come (`step`).
"""

from typing import cast

import torch
from torch import nn

from espnet_stacodec.gan_codec.convnext import Block, ConvNeXt
from espnet_stacodec.gan_codec.lookahead import Lookahead, Memory


class CausalConvNeXtBlock(Block):
    """A block whose convolution ends with its frame."""

    def __init__(self, channels: int, kernel: int, expansion: float) -> None:
        super().__init__(channels, kernel, expansion, padding=0)
        self.reach = kernel - 1

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """x: (B, T, C); what is padded needs no mask, as it comes last. Returns (B, T, C)."""
        return x + self.added(nn.functional.pad(x, (0, 0, self.reach, 0)))

    def step(self, x: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """The next frames (B, F, C) after the last ones, kept: (B, kernel - 1, C), is changed."""
        joined = torch.cat([kept.to(x.dtype), x], 1)
        kept.copy_(joined[:, joined.shape[1] - self.reach :])
        return x + self.added(joined)


class CausalConvNeXt(ConvNeXt):
    """A `ConvNeXt` stack whose blocks look back at earlier frames only.

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
        lookahead = Lookahead(lookahead_frames)
        seen = inputs * (lookahead_frames + 1)
        super().__init__(seen, outputs, channels, blocks, kernel, expansion)
        self.inputs = inputs
        self.lookahead = lookahead

    def new_block(self, channels: int, kernel: int, expansion: float) -> CausalConvNeXtBlock:
        """Return a block of the stack; arguments as for these."""
        return CausalConvNeXtBlock(channels, kernel, expansion)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Run the stack on whole sequences; arguments and result as of `ConvNeXt`."""
        whole = self.lookahead.whole(x.transpose(1, 2), lengths)
        return super().forward(self.lookahead.seen_together(whole))

    def memory(self, streams: int, name: str) -> Memory:
        """Return what new streams remember.

        Args:
            streams: How many they are, B.
            name: Begins the names of what is remembered.
        """
        weight = self.project.weight
        blocks = cast(list[CausalConvNeXtBlock], self.blocks)
        kept = {
            f"{name}.{i}": weight.new_zeros(streams, block.reach, weight.shape[1])
            for i, block in enumerate(blocks)
        }
        return {**self.lookahead.memory(streams, weight, self.inputs, name), **kept}

    def step(self, x: torch.Tensor, memory: Memory, name: str) -> torch.Tensor:
        """Run the stack on the next frames of streams.

        Args:
            x: (B, T, F). After the last frames of a stream, zeros for those looked ahead at.
            memory: What the streams remember, which is changed; see `Lookahead.arrived`.
            name: As for `memory`.

        Returns:
            (B, T', G) of the frames that now are known to be complete.
        """
        x = self.lookahead.arrived(x.transpose(1, 2), memory, name)
        if not x.shape[2]:
            return x.new_zeros(len(x), 0, self.project.out_features)
        x = self.embed_norm(self.embed(self.lookahead.seen_together(x)))
        for i, block in enumerate(cast(list[CausalConvNeXtBlock], self.blocks)):
            x = block.step(x, memory[f"{name}.{i}"])
        return self.project(self.norm(x))

"""Transformers that see the past of a frame, and at most a few frames of its future.

They take the place of `bottleneck.WindowedTransformer` in a codec that streams. The same weights
run in two ways with equal results: on whole sequences, with masks (`forward`), and on frames as
they come, with what is remembered of earlier ones (`step`).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from espnet_stacodec.config import check_range
from espnet_stacodec.errors import ConfigError
from espnet_stacodec.gan_codec.bottleneck import FIRST_CONTEXT, SKIP
from espnet_stacodec.gan_codec.few_rows import Linear
from espnet_stacodec.gan_codec.lookahead import Lookahead, Memory

CONTEXT_FRAMES = 250  # 5 s
ROTARY_BASE = 10000.0
#: From queries, keys and values, and the index of the layer, to its output; (B, heads, F, d) each.
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]


class CausalTransformer(nn.Module):
    """A transformer in which a frame attends to a limited number of frames before it.

    Positions are rotary (RoFormer, arXiv 2104.09864): only distances count, so that they never run
    out.

    Args:
        dimension: Channels in and out, D.
        hidden: Hidden size, H.
        layers: Transformer layers.
        heads: Attention heads.
        feed_forward: Width of the feed-forward layers.
        context_frames: Frames that one attends to, itself among them; at most those of a training
            chunk, since longer distances would never be trained.
        lookahead_frames: Later frames that the output of a frame depends on, 0 to 8.

    Raises:
        ConfigError: If a number is out of its range.
    """

    def __init__(
        self,
        dimension: int,
        hidden: int = 768,
        layers: int = 8,
        heads: int = 16,
        feed_forward: int = 2048,
        context_frames: int = CONTEXT_FRAMES,
        lookahead_frames: int = 0,
    ) -> None:
        super().__init__()
        self.lookahead = Lookahead(lookahead_frames)
        if context_frames < 1:
            raise ConfigError(
                f"A causal transformer cannot attend to {context_frames} frames; give"
                " context_frames of 1 or more."
            )
        sizes = {"hidden": hidden, "heads": heads, "feed_forward": feed_forward}
        check_range("A causal transformer", 1, **sizes)
        check_range("A causal transformer", 0, layers=layers)
        if hidden % (2 * heads):
            raise ConfigError(
                f"A causal transformer cannot divide hidden {hidden} among {heads} heads of rotary"
                f" positions; give a multiple of {2 * heads}."
            )
        self.heads = heads
        self.context_frames = context_frames
        self.in_projection = Linear(dimension * (lookahead_frames + 1), hidden)
        self.blocks = nn.ModuleList(_Block(hidden, heads, feed_forward) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        self.out_projection = Linear(hidden, dimension)

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the output besides the weights."""
        return {"context_frames": self.context_frames, "heads": self.heads}

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Transform whole sequences.

        Args:
            x: (B, D, T).
            lengths: (B,) valid frames; None if all T are.

        Returns:
            (B, D, T); what stands past the end of an item is undefined.
        """
        positions = torch.arange(x.shape[2])
        rotation = self._rotation(positions, x)
        mask = self._visible(positions[:, None], positions).to(x.device)

        def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, layer: int) -> torch.Tensor:
            return _attention(_rotate(q, rotation), _rotate(k, rotation), v, mask)

        return self._run(self.lookahead.whole(x, lengths), attend)

    def memory(self, streams: int, step_frames: int, name: str) -> Memory:
        """Return what new streams remember.

        Args:
            streams: How many they are, B.
            step_frames: The most frames of a step.
            name: Begins the names of what is remembered. Numbers of frames stay on the CPU.
        """
        weight = self.out_projection.weight
        hidden, places = self.norm.normalized_shape[0], self.context_frames + step_frames - 1
        dimension = self.out_projection.out_features
        shape = (streams, len(self.blocks), self.heads, places, hidden // self.heads)
        return {
            **self.lookahead.memory(streams, weight, dimension, name),
            f"{name}.keys": weight.new_zeros(shape),
            f"{name}.values": weight.new_zeros(shape),
            # From 1, as 0 is a place that holds no frame yet.
            f"{name}.positions": torch.zeros(streams, places, dtype=torch.long),
        }

    def step(self, x: torch.Tensor, memory: Memory, name: str) -> torch.Tensor:
        """Transform the next frames of streams.

        Args:
            x: (B, D, F), at most as many as `memory` was made for. After the last frames of a
                stream, zeros for those that are looked ahead at.
            memory: What the streams remember, which is changed. They have received equally many
                frames, or all of them more than are looked ahead at.
            name: As for `memory`.

        Returns:
            (B, D, F') of the frames that now are known to be complete; F' is below F at the
            start of a stream that looks ahead.
        """
        first = (memory[f"{name}.received"] - self.lookahead.frames).clamp(min=0)
        x = self.lookahead.arrived(x, memory, name)
        if not x.shape[2]:
            return x
        frames = x.shape[2] - self.lookahead.frames
        # (B, F'): each stream has its own.
        positions = first[:, None] + torch.arange(frames)
        places = memory[f"{name}.positions"]
        slots = positions % places.shape[1]
        places.scatter_(1, slots, positions + 1)
        seen = self._visible(positions[:, :, None] + 1, places[:, None, :]) & (places > 0)[:, None]
        mask = seen.unsqueeze(1).to(x.device)
        rotation = self._rotation(positions.unsqueeze(1), x)
        rows, slots = torch.arange(len(x), device=x.device)[:, None], slots.to(x.device)
        keys, values = memory[f"{name}.keys"], memory[f"{name}.values"]

        def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, layer: int) -> torch.Tensor:
            # Keys are kept rotated, in a ring: a frame takes the place of one that no frame sees.
            keys[rows, layer, :, slots] = _rotate(k, rotation).transpose(1, 2).to(keys.dtype)
            values[rows, layer, :, slots] = v.transpose(1, 2).to(values.dtype)
            return _attention(_rotate(q, rotation), keys[:, layer], values[:, layer], mask)

        return self._run(x, attend)

    def _run(self, x: torch.Tensor, attend: Attend) -> torch.Tensor:
        """x: (B, D, F + lookahead); returns (B, D, F)."""
        projected = context = self.in_projection(self.lookahead.seen_together(x))
        for layer, block in enumerate(self.blocks):
            context = block(context, attend, layer)
        return self.out_projection(self._combine(projected, self.norm(context))).transpose(1, 2)

    def _combine(self, projected: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Return what is projected out, of what went in and what came out, both (B, F, H)."""
        return context

    def _visible(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        """Return whether frames at the positions `query` attend to those at `key`."""
        return (key <= query) & (query - key < self.context_frames)

    def _rotation(
        self, positions: torch.Tensor, x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosine and sine (..., F, d / 2) of the angles at positions (..., F), for x."""
        half = self.norm.normalized_shape[0] // self.heads // 2
        # In float64: after hours the angles are large.
        frequencies = ROTARY_BASE ** (-torch.arange(half, dtype=torch.float64) / half)
        angles = positions.unsqueeze(-1) * frequencies
        dtype = torch.promote_types(x.dtype, torch.float32)
        return angles.cos().to(x.device, dtype), angles.sin().to(x.device, dtype)


class CausalBottleneck(CausalTransformer):
    """A causal transformer with a skip connection: half of what went in, half of its context."""

    @torch.no_grad()
    def begin_as_identity(self) -> None:
        """Let nearly what goes in come out, before training, as `Bottleneck` does."""
        own = slice(0, None, self.lookahead.frames + 1)  # what a frame itself is projected with
        nn.init.zeros_(self.in_projection.weight)
        nn.init.zeros_(self.in_projection.bias)
        square = torch.empty_like(self.in_projection.weight[:, own])
        self.in_projection.weight[:, own] = nn.init.orthogonal_(square)
        self.out_projection.weight.copy_(square.t() / SKIP)
        nn.init.zeros_(self.out_projection.bias)
        nn.init.constant_(self.norm.weight, FIRST_CONTEXT)

    def _combine(self, projected: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return SKIP * projected + (1 - SKIP) * context


class _Block(nn.Module):
    """A transformer layer that is normalized before attention and before its feed-forward part."""

    def __init__(self, hidden: int, heads: int, feed_forward: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(hidden)
        self.attention_in = Linear(hidden, 3 * hidden)
        self.attention_out = Linear(hidden, hidden)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(hidden),
            Linear(hidden, feed_forward),
            nn.GELU(),
            Linear(feed_forward, hidden),
        )

    def forward(self, x: torch.Tensor, attend: Attend, layer: int) -> torch.Tensor:
        """x: (B, F, H). Returns (B, F, H)."""
        mixed = self.attention_in(self.attention_norm(x)).unflatten(2, (3, self.heads, -1))
        q, k, v = mixed.permute(2, 0, 3, 1, 4)
        x = x + self.attention_out(attend(q, k, v, layer).transpose(1, 2).flatten(2))
        return x + self.feed_forward(x)


def _rotate(x: torch.Tensor, rotation: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Rotate pairs of channels of queries or keys (B, heads, F, d) by their positions."""
    cosine, sine = rotation
    one, other = x.chunk(2, -1)
    return torch.cat([one * cosine - other * sine, one * sine + other * cosine], -1)


def _attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Attend with queries (B, heads, F, d) to keys and values (B, heads, S, d) where `mask`."""
    return nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)

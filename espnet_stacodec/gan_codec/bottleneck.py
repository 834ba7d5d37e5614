"""The transformer between encoder and quantizer, which gives each frame its context.

STACodec, arXiv 2602.06180: 8 layers, hidden size 768, windows of 150 frames (3 s).
"""

import dataclasses
from typing import Any

import torch
from torch import nn

from espnet_stacodec.config import check_range, choose
from espnet_stacodec.errors import ConfigError
from espnet_stacodec.gan_codec.windows import WINDOWS, Windows

LAYER_NORM_EPS = 1e-12  # BERT's, as in the released models
SKIP = 0.5  # share of what went in, in what comes out of the bottleneck
FIRST_CONTEXT = 0.1  # size of the context in an untrained bottleneck


class WindowedTransformer(nn.Module):
    """A BERT-like transformer over windows of frames; where windows overlap, their mean counts.

    Padding is not attended and never changes what an utterance gets.

    Args:
        dimension: Channels in and out, D.
        hidden: Hidden size, H.
        layers: Transformer layers.
        heads: Attention heads.
        feed_forward: Width of the feed-forward layers.
        window: Frames seen at once, W; at most the frames of a training chunk, since positions
            beyond it would never be trained.
        overlap: Frames that neighbouring windows share.
        windows: "full", or "reference" for released weights.

    Raises:
        ConfigError: If a number is out of its range, or `windows` unknown.
    """

    def __init__(
        self,
        dimension: int,
        hidden: int = 768,
        layers: int = 8,
        heads: int = 16,
        feed_forward: int = 2048,
        window: int = 150,
        overlap: int = 50,
        windows: str = "full",
    ) -> None:
        super().__init__()
        sizes = {"hidden": hidden, "layers": layers, "heads": heads, "feed_forward": feed_forward}
        check_range("A transformer", 1, **sizes)
        if hidden % heads:
            raise ConfigError(
                f"A transformer cannot divide hidden {hidden} among {heads} heads; give a multiple"
                f" of {heads}."
            )
        self.heads = heads
        self.windows: Windows = choose(WINDOWS, windows, "windows")(window, overlap)
        self.in_projection = nn.Linear(dimension, hidden)
        self.position = nn.Parameter(0.02 * torch.randn(window, hidden))
        self.norm = nn.LayerNorm(hidden, eps=LAYER_NORM_EPS)
        layer = nn.TransformerEncoderLayer(
            hidden,
            heads,
            feed_forward,
            dropout=0.0,
            activation="gelu",
            layer_norm_eps=LAYER_NORM_EPS,
            batch_first=True,
        )
        self.transformer = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.out_projection = nn.Linear(hidden, dimension)

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the output besides the weights."""
        windows = {"kind": type(self.windows).__name__, **dataclasses.asdict(self.windows)}
        return {"windows": windows, "heads": self.heads}

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Transform latents.

        Args:
            x: (B, D, T).
            lengths: (B,) valid frames; None if all T are.

        Returns:
            (B, D, T); what stands past the end of an item is undefined.
        """
        projected = self.in_projection(x.transpose(1, 2))
        context = self._in_windows(projected, lengths)
        return self.out_projection(self._combine(projected, context)).transpose(1, 2)

    def _combine(self, projected: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Return what is projected out, of what went in and what came out, both (B, T, H)."""
        return context

    def _in_windows(self, frames: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Run the transformer on all windows of frames (B, T, H) at once; returns (B, T, H)."""
        batch, maximum, _ = frames.shape
        valid = [maximum] * batch if lengths is None else lengths.tolist()
        index, attended = self._plan(valid, maximum)
        # Looked at before it goes to the device, which the host would have to wait for.
        ignored = None if bool(attended.all()) else (~attended).to(frames.device)
        index = index.to(frames.device)
        # One frame of zeros at the end, which fills up windows.
        flat = nn.functional.pad(frames.flatten(0, 1), (0, 0, 0, 1))
        x = self.norm(flat[index] + self.position[: index.shape[1]])
        out = self.transformer(x, src_key_padding_mask=ignored).flatten(0, 1).to(flat.dtype)
        total = torch.zeros_like(flat).index_add(0, index.flatten(), out)
        covered = index.flatten().bincount(minlength=len(flat)).clamp(min=1)
        return (total / covered.unsqueeze(1))[:-1].unflatten(0, (batch, maximum))

    def _plan(self, lengths: list[int], maximum: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Say which frames are in which window.

        Args:
            lengths: Valid frames of each item.
            maximum: T, frames of an item with its padding.

        Returns:
            (windows, W') indices into all B * T frames, B * T standing for a frame of zeros; and
            (windows, W') whether that place is attended. W' is the longest window needed.
        """
        width = self.windows.attended(max(lengths))
        index, attended = [], []
        for item, length in enumerate(lengths):
            for start in self.windows.starts(length):
                places = torch.arange(start, start + width)
                frames = item * maximum + places
                index.append(frames.masked_fill(places >= length, len(lengths) * maximum))
                attended.append(torch.arange(width) < self.windows.attended(length))
        return torch.stack(index), torch.stack(attended)


class Bottleneck(WindowedTransformer):
    """A windowed transformer with a skip connection: half of what went in, half of its context."""

    @torch.no_grad()
    def begin_as_identity(self) -> None:
        """Let nearly what goes in come out, before training.

        With random projections the signal comes out at a sixth of its size, under a context of
        fixed size: trainings of a thousand steps then hardly learn the waveform.
        """
        nn.init.orthogonal_(self.in_projection.weight)
        nn.init.zeros_(self.in_projection.bias)
        self.out_projection.weight.copy_(self.in_projection.weight.t() / SKIP)
        nn.init.zeros_(self.out_projection.bias)
        last = self.transformer.layers[-1]
        nn.init.constant_(last.norm2.weight, FIRST_CONTEXT)

    def _combine(self, projected: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return SKIP * projected + (1 - SKIP) * context

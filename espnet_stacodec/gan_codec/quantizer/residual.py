"""Residual vector quantization: each layer quantizes what the layers before it left."""

import dataclasses
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import nn

from espnet_stacodec.errors import ModelError, TokenError
from espnet_stacodec.gan_codec.quantizer.codebook import Codebook
from espnet_stacodec.gan_codec.step_counter import StepCounter

PADDED_CODE = -1


@dataclasses.dataclass(frozen=True)
class Quantized:
    """What a quantizer returns.

    Attributes:
        latents: (B, D, T) the quantized latents; zero where padded.
        first: (B, D, T) what the first layer alone chose; zero where padded.
        codes: (n_codebooks, B, T) int64; -1 where padded.
        commitment_loss: () mean squared distance of what each layer received to what it chose.
    """

    latents: torch.Tensor
    first: torch.Tensor
    codes: torch.Tensor
    commitment_loss: torch.Tensor


class ResidualQuantizer(StepCounter):
    """A stack of codebooks (SoundStream, arXiv 2107.03312, section III-C).

    What the first layer is, decides the method: `Codebook` gives plain RVQ, `AssignedCodebook`
    semantic token assignment.

    Args:
        layers: The codebooks, all of one dimension D.
        dead_code_interval: Dead entries are looked for every this many updates.
        dropout: Share of the items that are decoded from a random number of layers in training,
            so that one model serves any bitrate. All layers learn from all items all the same.
        seed: Of the first k-means and of dead-code replacement; the task gives the training's.
    """

    counter = "updates"
    updates: torch.Tensor

    def __init__(
        self,
        layers: Sequence[Codebook],
        dead_code_interval: int = 20,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.dead_code_interval = dead_code_interval
        self.dropout = dropout
        self.seed = seed

    @property
    def codebooks(self) -> list[Codebook]:
        """The layers, first to last."""
        return cast(list[Codebook], list(self.layers))

    def forward(
        self,
        latents: torch.Tensor,
        tokens: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
    ) -> Quantized:
        """Quantize; in training mode also update the codebooks with these latents.

        Args:
            latents: (B, D, T).
            tokens: (B, T) semantic tokens, where a layer is assigned; read only where valid.
            mask: (B, T) true where a frame is valid; None if all are.

        Raises:
            TokenError: If an assigned layer gets no tokens, or tokens of another length.
            ModelError: If the codebooks have never been trained and this is not training.
        """
        if tokens is not None and tokens.shape != latents.shape[::2]:
            raise TokenError(
                f"Semantic tokens of shape {tuple(tokens.shape)} do not fit latents of"
                f" {latents.shape[0]} utterances and {latents.shape[2]} frames."
            )
        # Codebooks are averages over many steps: half precision would lose the small increments.
        with torch.autocast(latents.device.type, enabled=False):
            frames = _valid(latents.float().transpose(1, 2), mask)
            frame_tokens = None if tokens is None else _valid(tokens, mask)
            entries, codes, commitment_loss = self._quantize(frames, frame_tokens)
        shape = latents.shape[::2]
        quantized = sum(
            layer * kept.unsqueeze(1)
            for layer, kept in zip(entries, self._kept_layers(shape, mask, frames), strict=True)
        )
        first = entries[0]
        if self.training:
            # One straight-through step for the sum: a step per layer would bias the encoder.
            quantized = frames + (quantized - frames).detach()
            first = frames + (first - frames).detach()
        return Quantized(
            latents=_scatter(quantized, shape, mask, 0.0).transpose(1, 2),
            first=_scatter(first, shape, mask, 0.0).transpose(1, 2),
            codes=torch.stack([_scatter(c, shape, mask, PADDED_CODE) for c in codes]),
            commitment_loss=commitment_loss,
        )

    def _quantize(
        self, frames: torch.Tensor, tokens: torch.Tensor | None
    ) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
        """Quantize frames (N, D); returns entries (N, D) and codes (N,) by layer, and the loss."""
        step = self.count()
        if step == 0 and not self.training:
            raise ModelError("The codebooks are untrained; load or train a model before encoding.")
        residual = frames
        chosen_entries, codes, losses = [], [], []
        for index, layer in enumerate(self.codebooks):
            received = residual.detach()
            seed = mixed_seed(self.seed, step, index)
            if self.training and step == 0:
                layer.initialize(received, tokens, seed)
            chosen = layer.choose(received, tokens)
            entries = layer.lookup(chosen)
            losses.append(nn.functional.mse_loss(residual, entries))
            residual = residual - entries
            chosen_entries.append(entries)
            codes.append(chosen)
            if self.training:
                layer.update(received, chosen)
                if (step + 1) % self.dead_code_interval == 0:
                    layer.replace_dead(received, seed)
        if self.training:
            self.advance()
        return chosen_entries, codes, torch.stack(losses).mean()

    def _kept_layers(
        self, shape: torch.Size, mask: torch.Tensor | None, frames: torch.Tensor
    ) -> torch.Tensor:
        """Return (n, N): 1 where a layer counts for a frame, 0 where it is dropped."""
        layers = torch.arange(len(self.layers), device=frames.device).unsqueeze(1)
        kept = torch.full(shape[:1], len(self.layers), device=frames.device)
        if self.training and self.dropout > 0:
            drawn = torch.randint(1, len(self.layers) + 1, shape[:1], device=frames.device)
            dropped = torch.rand(shape[:1], device=frames.device) < self.dropout
            kept = torch.where(dropped, drawn, kept)
        return (layers < _valid(kept.unsqueeze(1).expand(shape), mask)).to(frames)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the latents (B, D, T) of codes (n, B, T) of the first n layers; -1 gives zeros."""
        if not 1 <= len(codes) <= len(self.layers):
            raise TokenError(
                f"Codes of {len(codes)} codebooks do not fit a codec of {len(self.layers)}."
            )
        entries = [layer.embed for layer in self.codebooks]
        latents = sum_of_entries(entries, codes.clamp(min=0))
        return latents.masked_fill((codes[0] == PADDED_CODE).unsqueeze(-1), 0.0).transpose(1, 2)

    def statistics(self) -> dict[str, torch.Tensor]:
        """Return perplexity_1, usage_1, ... of all layers, from their running counts."""
        return {
            f"{name}_{index}": value
            for index, layer in enumerate(self.codebooks, 1)
            for name, value in layer.statistics().items()
        }


def sum_of_entries(entries: Sequence[torch.Tensor], codes: torch.Tensor) -> torch.Tensor:
    """Return the quantized latents (..., D): the sum of the entries of codes.

    Args:
        entries: (K_i, D) of each codebook, of n or more.
        codes: (n, ...) of the first n codebooks.
    """
    first, *others = (
        nn.functional.embedding(chosen, table)
        for table, chosen in zip(entries, codes, strict=False)
    )
    return sum(others, first)


def mixed_seed(*numbers: int) -> int:
    """Return a seed that depends on all of these: on a training's seed, a step and a layer."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _valid(values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the valid frames of values (B, T, ...) as (N, ...)."""
    return values.flatten(0, 1) if mask is None else values[mask]


def _scatter(
    values: torch.Tensor, shape: torch.Size, mask: torch.Tensor | None, fill: float
) -> torch.Tensor:
    """Put valid frames (N, ...) back to (B, T, ...) of `shape` (B, T), with `fill` where padded."""
    full_shape = shape + values.shape[1:]
    if mask is None:
        return values.reshape(full_shape)
    filled = values.new_full(full_shape, fill)
    filled[mask] = values
    return filled

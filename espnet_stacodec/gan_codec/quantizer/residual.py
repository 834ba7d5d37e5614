"""Residual vector quantization: each layer quantizes what the layers before it left."""

import dataclasses
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import nn

from espnet_stacodec.errors import ModelError, TokenError
from espnet_stacodec.gan_codec.batch_part import BatchPart, BatchSize
from espnet_stacodec.gan_codec.distributed import all_gather_frames, all_reduce_sum
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
        self._begun = False
        # What the passes of a step have met so far, by layer.
        self._tallies: list[torch.Tensor] | None = None
        self._received: list[torch.Tensor] = []

    @property
    def codebooks(self) -> list[Codebook]:
        """The layers, first to last."""
        return cast(list[Codebook], list(self.layers))

    def forward(
        self,
        latents: torch.Tensor,
        tokens: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        part: BatchPart | None = None,
    ) -> Quantized:
        """Quantize; in training mode also update the codebooks with these latents.

        Args:
            latents: (B, D, T).
            tokens: (B, T) semantic tokens, where a layer is assigned; read only where valid.
            mask: (B, T) true where a frame is valid; None if all are.
            part: Of a step's batch that these items are; None for all of it.

        Raises:
            TokenError: If an assigned layer gets no tokens, or tokens of another length.
            ModelError: If the codebooks have never been trained and this is not training.
        """
        if tokens is not None and tokens.shape != latents.shape[::2]:
            raise TokenError(
                f"Semantic tokens of shape {tuple(tokens.shape)} do not fit latents of"
                f" {latents.shape[0]} utterances and {latents.shape[2]} frames."
            )
        if part is None:
            part = _alone(latents)
        # Codebooks are averages over many steps: half precision would lose the small increments.
        with torch.autocast(latents.device.type, enabled=False):
            latents = latents.to(torch.promote_types(latents.dtype, torch.float32))
            frames = valid_frames(latents.transpose(1, 2), mask)
            frame_tokens = None if tokens is None else valid_frames(tokens, mask)
            entries, codes, commitment_loss = self._quantize(frames, frame_tokens, part)
        shape = latents.shape[::2]
        quantized = sum(
            layer * kept.unsqueeze(1)
            for layer, kept in zip(entries, self._kept_layers(shape, mask, part), strict=True)
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

    @property
    def begun(self) -> bool:
        """Whether the codebooks have entries."""
        return self._begun or self.count() > 0

    @torch.no_grad()
    def begin(self, frames: Sequence[torch.Tensor], tokens: Sequence[torch.Tensor]) -> None:
        """Place the entries of all layers by the frames and tokens of all passes and ranks.

        Frames that are not finite are left out; with none left, the next batch is waited for.

        Args:
            frames: (N, D) of each pass.
            tokens: (N,) of each pass; none where no layer is assigned.
        """
        columns = _of_all_ranks(
            [torch.cat([f.float(), t[:, None]], 1) for f, t in zip(frames, tokens, strict=True)]
            if tokens
            else [f.float() for f in frames]
        )
        if not len(columns):
            return
        residual = columns[:, :-1] if tokens else columns
        carried = columns[:, -1].long() if tokens else None
        # In full precision, whatever the networks run in, as the quantization that follows.
        with torch.autocast(columns.device.type, enabled=False):
            for index, layer in enumerate(self.codebooks):
                layer.initialize(residual, carried, mixed_seed(self.seed, 0, index))
                residual = residual - layer.lookup(layer.choose(residual, carried))
        self._begun = True

    def _quantize(
        self, frames: torch.Tensor, tokens: torch.Tensor | None, part: BatchPart
    ) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
        """Quantize frames (N, D); returns entries (N, D) and codes (N,) by layer, and the loss."""
        if not self.begun:
            if not self.training:
                raise ModelError(
                    "The codebooks are untrained; load or train a model before encoding."
                )
            self.begin([frames.detach()], [] if tokens is None else [tokens])
        residual = frames
        chosen_entries, codes, losses, received = [], [], [], []
        for layer in self.codebooks:
            received.append(residual.detach())
            chosen = layer.choose(received[-1], tokens)
            entries = layer.lookup(chosen)
            losses.append(nn.functional.mse_loss(residual, entries))
            residual = residual - entries
            chosen_entries.append(entries)
            codes.append(chosen)
        if self.training and part.learns and self.begun:
            self._learn(received, codes, part)
        return chosen_entries, codes, torch.stack(losses).mean()

    @torch.no_grad()
    def _learn(
        self, received: list[torch.Tensor], codes: list[torch.Tensor], part: BatchPart
    ) -> None:
        """Let the codebooks follow what each layer received (N, D) and chose (N,).

        They change when the passes of a step are complete, with what all ranks have met.
        """
        tallies = [
            tally
            for layer, frames, chosen in zip(self.codebooks, received, codes, strict=True)
            for tally in layer.tally(frames, chosen)
        ]
        if self._tallies is not None:
            tallies = [one + other for one, other in zip(self._tallies, tallies, strict=True)]
        self._tallies = tallies
        step = self.count()
        replacing = (step + 1) % self.dead_code_interval == 0
        if replacing:
            self._received.append(torch.cat(received, 1))
        if not part.is_last:
            return
        all_reduce_sum(*tallies)
        for index, layer in enumerate(self.codebooks):
            layer.follow(tallies[2 * index], tallies[2 * index + 1])
        if replacing:
            met = _of_all_ranks(self._received)
            if len(met):
                for index, (layer, frames) in enumerate(
                    zip(self.codebooks, met.split(received[0].shape[1], 1), strict=True)
                ):
                    layer.replace_dead(frames, mixed_seed(self.seed, step, index))
        self._tallies, self._received = None, []
        self.advance()

    def _kept_layers(
        self, shape: torch.Size, mask: torch.Tensor | None, part: BatchPart
    ) -> torch.Tensor:
        """Return (n, N): 1 where a layer counts for a frame, 0 where it is dropped."""
        device = self.updates.device
        layers = torch.arange(len(self.layers), device=device).unsqueeze(1)
        kept = torch.full(shape[:1], len(self.layers), device=device)
        if self.training and self.dropout > 0:
            # For the whole batch, so that ranks drop different layers.
            size = (part.whole.items,)
            drawn = torch.randint(1, len(self.layers) + 1, size, device=device)
            dropped = torch.rand(size, device=device) < self.dropout
            kept = torch.where(part.own(dropped), part.own(drawn), kept)
        return (layers < valid_frames(kept.unsqueeze(1).expand(shape), mask)).float()

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


def _of_all_ranks(passes: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the finite rows (N, D) of all ranks, pass by pass: in the order of a whole batch."""
    return torch.cat([all_gather_frames(rows[rows.isfinite().all(1)]) for rows in passes])


def mixed_seed(*numbers: int) -> int:
    """Return a seed that depends on all of these: on a training's seed, a step and a layer."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _alone(latents: torch.Tensor) -> BatchPart:
    """Return the part of latents (B, D, T) that are the whole batch."""
    items, _, frames = latents.shape
    return BatchPart.alone(BatchSize(items, 0, items * frames, frames))


def valid_frames(values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
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

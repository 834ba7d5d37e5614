"""Masks over spans of time and of features, as in SpecAugment (arXiv 1904.08779)."""

import dataclasses

import torch

from espnet_stacodec.config import check_range, check_types
from espnet_stacodec.gan_codec.batch_part import BatchPart, BatchSize


@dataclasses.dataclass(frozen=True)
class SpanMask:
    """Sets spans of frames and spans of features to zero, each kind for some of the items.

    Attributes:
        probability: With which an item gets time masks, and independently feature masks.
        time_spans: Spans of frames.
        time_length: Frames of a span.
        feature_spans: Spans of features.
        feature_length: Features of a span.

    Raises:
        ConfigError: If a value is of another type or out of its range.
    """

    probability: float = 0.5
    time_spans: int = 2
    time_length: int = 10
    feature_spans: int = 2
    feature_length: int = 8

    def __post_init__(self) -> None:
        check_types(self, "masking")
        check_range("masking", 0, 1, probability=self.probability)
        check_range("masking", 0, time_spans=self.time_spans, time_length=self.time_length)
        check_range(
            "masking", 0, feature_spans=self.feature_spans, feature_length=self.feature_length
        )

    def __call__(
        self,
        x: torch.Tensor,
        lengths: torch.Tensor | None = None,
        part: BatchPart | None = None,
    ) -> torch.Tensor:
        """Return x with the spans set to zero.

        Args:
            x: (B, D, T).
            lengths: (B,) valid frames, in which the spans lie; None if all T are.
            part: Of a step's batch that these items are; None for all of it.
        """
        items, dimension, frames = x.shape
        part = part or BatchPart.alone(BatchSize(items, 0, 0, frames))
        # Whole numbers, which bfloat16 does not have from 257 on.
        every = torch.full((items,), dimension, device=x.device)
        features = self._spans(every, dimension, self.feature_spans, self.feature_length, part)
        valid = torch.full_like(every, frames) if lengths is None else lengths
        times = self._spans(valid, frames, self.time_spans, self.time_length, part)
        return x.masked_fill(features.unsqueeze(2) | times.unsqueeze(1), 0.0)

    def _spans(
        self, valid: torch.Tensor, places: int, spans: int, length: int, part: BatchPart
    ) -> torch.Tensor:
        """Return a (B, places) mask with `spans` spans in the items that are drawn.

        Drawn for the whole batch, whatever its padding: ranks hide different spans, and a batch is
        hidden alike however it is divided. Uniform over all places of (B,) `valid` ones where a
        whole span fits.
        """
        device = valid.device
        drawn = part.own(torch.rand(part.whole.items, 1, device=device)) < self.probability
        last = (valid - length).clamp(min=0).unsqueeze(1)
        starts = part.own(torch.rand(part.whole.items, spans, device=device)) * (last + 1)
        offset = torch.arange(places, device=device) - starts.floor().unsqueeze(2)
        return drawn & ((offset >= 0) & (offset < length)).any(1)

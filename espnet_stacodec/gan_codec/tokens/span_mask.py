"""Masks over spans of time and of features, as in SpecAugment (arXiv 1904.08779)."""

import dataclasses

import torch

from espnet_stacodec.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class SpanMask:
    """Sets spans of frames and spans of features to zero, each kind for some of the items.

    Attributes:
        probability: With which an item gets time masks, and independently feature masks.
        time_spans: Spans of frames.
        time_length: Frames of a span.
        feature_spans: Spans of features.
        feature_length: Features of a span.
    """

    probability: float = 0.5
    time_spans: int = 2
    time_length: int = 10
    feature_spans: int = 2
    feature_length: int = 8

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ConfigError(f"masking: probability {self.probability} is outside 0..1.")

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """x: (B, D, T). Returns it with the spans set to zero."""
        features = self._spans(x, x.shape[1], self.feature_spans, self.feature_length)
        frames = self._spans(x, x.shape[2], self.time_spans, self.time_length)
        return x.masked_fill(features.unsqueeze(2) | frames.unsqueeze(1), 0.0)

    def _spans(self, x: torch.Tensor, places: int, spans: int, length: int) -> torch.Tensor:
        """Return a (B, places) mask with `spans` spans in the items that are drawn."""
        batch = len(x)
        drawn = torch.rand(batch, 1, device=x.device) < self.probability
        # Uniform over all places where a whole span fits.
        last = max(places - length, 0)
        starts = torch.randint(last + 1, (batch, spans, 1), device=x.device)
        offset = torch.arange(places, device=x.device) - starts
        return drawn & ((offset >= 0) & (offset < length)).any(1)

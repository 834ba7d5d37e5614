"""Distillation into the first layer, the baseline of assignment.

SpeechTokenizer, arXiv 2308.16692, section 3.2: the output of the first quantizer layer, projected,
is pulled towards the teacher's features, one time series per feature dimension. The features are
those of the tokens' k-means centroids, so that no feature files are needed.
"""

import torch
from torch import nn

from espnet_stacodec.gan_codec.lengths import length_mask


class Distillation(nn.Module):
    """The distillation loss of SpeechTokenizer.

    Args:
        dimension: Channels of the quantizer, D.
        num_tokens: Number of centroids, K.
        feature_dim: Dimension of the teacher's features, F.
        loss_weight: Weight of the loss; SpeechTokenizer's is 120, beside a waveform loss weighted
            500 and a mel loss weighted 45.
        centred: Whether the mean of all centroids is subtracted from each. As they are, most
            dimensions hardly change over time: a student that is constant has most of the
            similarity.
    """

    centroids: torch.Tensor

    def __init__(
        self,
        dimension: int,
        num_tokens: int,
        feature_dim: int,
        loss_weight: float = 120.0,
        centred: bool = True,
    ) -> None:
        super().__init__()
        self.centred = centred
        self.projection = nn.Linear(dimension, feature_dim)
        self.loss_weight = loss_weight
        self.register_buffer("centroids", torch.zeros(num_tokens, feature_dim))

    @torch.no_grad()
    def know_centroids(self, centroids: torch.Tensor) -> None:
        """Take the teacher's centroids (K, F)."""
        mean = centroids.mean(0) if self.centred else 0.0
        self.centroids.copy_(centroids - mean)

    def forward(
        self, first: torch.Tensor, tokens: torch.Tensor, lengths: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the weighted loss ().

        Args:
            first: (B, D, T) output of the first quantizer layer.
            tokens: (B, T) semantic tokens.
            lengths: (B,) valid frames; None if all T are.
        """
        student = self.projection(first.transpose(1, 2))
        teacher = self.centroids[tokens.clamp(min=0)]
        if lengths is not None:
            valid = length_mask(lengths, tokens.shape[1]).unsqueeze(2)
            student, teacher = student * valid, teacher * valid
        similarity = nn.functional.cosine_similarity(student, teacher, dim=1)
        return -self.loss_weight * nn.functional.logsigmoid(similarity).mean()

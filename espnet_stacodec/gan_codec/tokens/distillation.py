"""Distillation into the first layer, the baseline of assignment.

SpeechTokenizer, arXiv 2308.16692, section 3.2: the output of the first quantizer layer, projected,
is pulled towards the teacher's features, one time series per feature dimension.
"""

import torch
from torch import nn

from espnet_stacodec.config import check_range, choose
from espnet_stacodec.errors import TokenError
from espnet_stacodec.gan_codec.lengths import length_mask

WHERE = "codec_conf.generator_params.distillation"


class Distillation(nn.Module):
    """The distillation loss of SpeechTokenizer, towards what a subclass calls the teacher.

    Args:
        dimension: Channels of the quantizer, D.
        num_tokens: Number of centroids, K.
        feature_dim: Dimension of the teacher's features, F.
        loss_weight: Weight of the loss; SpeechTokenizer's is 120, beside a waveform loss weighted
            500 and a mel loss weighted 45.
        centred: Whether the mean of all centroids is subtracted from the teacher. As it is, most
            dimensions hardly change over time: a student that is constant has most of the
            similarity.

    Raises:
        ConfigError: If the weight is negative.
    """

    def __init__(
        self,
        dimension: int,
        num_tokens: int,
        feature_dim: int,
        loss_weight: float = 120.0,
        centred: bool = True,
    ) -> None:
        super().__init__()
        check_range(WHERE, 0, loss_weight=loss_weight)
        self.centred = centred
        self.projection = nn.Linear(dimension, feature_dim)
        self.loss_weight = loss_weight
        self._make_buffers(num_tokens, feature_dim)

    def forward(
        self,
        first: torch.Tensor,
        semantic: torch.Tensor | None,
        features: torch.Tensor | None,
        lengths: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return the weighted loss ().

        Args:
            first: (B, D, T) output of the first quantizer layer.
            semantic: (B, T) semantic tokens.
            features: (B, T, F) the features that the tokens are clusters of.
            lengths: (B,) valid frames; None if all T are.

        Raises:
            TokenError: If the teacher is made of what is None.
        """
        student = self.projection(first.transpose(1, 2))
        teacher = self.teacher(semantic, features)
        if lengths is not None:
            valid = length_mask(lengths, first.shape[2]).unsqueeze(2)
            student, teacher = student * valid, teacher * valid
        similarity = nn.functional.cosine_similarity(student, teacher, dim=1)
        return -self.loss_weight * nn.functional.logsigmoid(similarity).mean()

    def know_centroids(self, centroids: torch.Tensor) -> None:
        """Take the centroids (K, F) of the tokens."""
        raise NotImplementedError

    def teacher(self, semantic: torch.Tensor | None, features: torch.Tensor | None) -> torch.Tensor:
        """Return the teacher's frames (B, T, F); arguments as for `forward`."""
        raise NotImplementedError

    def _make_buffers(self, num_tokens: int, feature_dim: int) -> None:
        raise NotImplementedError


class CentroidDistillation(Distillation):
    """The teacher is the centroids of the tokens, so that no files of features are needed."""

    centroids: torch.Tensor

    @torch.no_grad()
    def know_centroids(self, centroids: torch.Tensor) -> None:
        """Take the centroids (K, F) of the tokens."""
        mean = centroids.mean(0) if self.centred else 0.0
        self.centroids.copy_(centroids - mean)

    def teacher(self, semantic: torch.Tensor | None, features: torch.Tensor | None) -> torch.Tensor:
        """Return the centroids (B, T, F) of semantic tokens (B, T)."""
        if semantic is None:
            raise TokenError(
                "Distillation learns from semantic tokens and got none: train it with"
                " `python -m espnet_stacodec.bin.train` and the tokens of stage 3."
            )
        return self.centroids[semantic.clamp(min=0)]

    def _make_buffers(self, num_tokens: int, feature_dim: int) -> None:
        self.register_buffer("centroids", torch.zeros(num_tokens, feature_dim))


class FeatureDistillation(Distillation):
    """The teacher is the features themselves, as SpeechTokenizer's."""

    mean: torch.Tensor

    @torch.no_grad()
    def know_centroids(self, centroids: torch.Tensor) -> None:
        """Take the mean of the centroids (K, F), which stands for that of the features."""
        if self.centred:
            self.mean.copy_(centroids.mean(0))

    def teacher(self, semantic: torch.Tensor | None, features: torch.Tensor | None) -> torch.Tensor:
        """Return features (B, T, F) without their mean."""
        if features is None:
            raise TokenError(
                "Distillation with target 'features' got none: run stages 3 to 5 with"
                " --keep_features true."
            )
        return features - self.mean

    def _make_buffers(self, num_tokens: int, feature_dim: int) -> None:
        self.register_buffer("mean", torch.zeros(feature_dim))


# What the first layer is pulled towards.
TARGETS: dict[str, type[Distillation]] = {
    "centroids": CentroidDistillation,
    "features": FeatureDistillation,
}


def build_distillation(
    dimension: int,
    num_tokens: int,
    feature_dim: int,
    target: str = "centroids",
    loss_weight: float = 120.0,
    centred: bool = True,
) -> Distillation:
    """Build the loss; arguments as of `Distillation`, and `target`, "centroids" or "features".

    Raises:
        ConfigError: If the target is unknown.
    """
    kind = choose(TARGETS, target, f"{WHERE}: target")
    return kind(dimension, num_tokens, feature_dim, loss_weight, centred)

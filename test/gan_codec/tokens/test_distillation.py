"""Distillation into the first layer: the loss worked by hand, its teachers, and padding."""

import math

import pytest
import torch

from espnet_stacodec.errors import ConfigError, TokenError
from espnet_stacodec.gan_codec.tokens.distillation import (
    CentroidDistillation,
    FeatureDistillation,
    build_distillation,
)


@torch.no_grad()
def test_the_loss_worked_by_hand():
    """Features that agree over time cost log(1 + e^-1), opposite ones log(1 + e)."""
    distillation = CentroidDistillation(2, 3, 2, loss_weight=1.0)
    distillation.projection.weight.copy_(torch.eye(2))
    distillation.projection.bias.zero_()
    distillation.centroids.copy_(torch.tensor([[1.0, 0.0], [2.0, 1.0], [9.0, 9.0]]))
    tokens = torch.tensor([[0, 1]])
    first = torch.tensor([[[2.0, 4.0], [0.0, -5.0]]])  # (B, D, T)
    expected = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1))) / 2
    assert float(distillation(first, tokens, None, None)) == pytest.approx(expected, abs=1e-5)


@torch.no_grad()
def test_features_that_are_centroids_cost_the_same():
    torch.manual_seed(0)
    centroids, first = torch.randn(4, 5), torch.randn(2, 3, 7)
    tokens = torch.randint(4, (2, 7))
    ways = [build_distillation(3, 4, 5, target) for target in ("centroids", "features")]
    for way in ways:
        way.projection.load_state_dict(ways[0].projection.state_dict())
        way.know_centroids(centroids)
    one, other = (way(first, tokens, centroids[tokens], None) for way in ways)
    torch.testing.assert_close(one, other)


@torch.no_grad()
@pytest.mark.parametrize("kind", [CentroidDistillation, FeatureDistillation])
def test_padding_changes_nothing(kind):
    torch.manual_seed(0)
    distillation = kind(3, 4, 5)
    distillation.know_centroids(torch.randn(4, 5))
    first, tokens, features = torch.randn(1, 3, 7), torch.randint(4, (1, 7)), torch.randn(1, 7, 5)
    padded = torch.cat([tokens[:, :4], torch.full((1, 3), -1)], 1)
    zeros = torch.cat([features[:, :4], torch.zeros(1, 3, 5)], 1)
    alone = distillation(first[..., :4], tokens[:, :4], features[:, :4], None)
    torch.testing.assert_close(distillation(first, padded, zeros, torch.tensor([4])), alone)


@torch.no_grad()
@pytest.mark.parametrize("target", ["centroids", "features"])
@pytest.mark.parametrize(("centred", "similarity"), [(True, 0.0), (False, 5 / math.sqrt(26))])
def test_a_constant_student_gets_nothing_of_a_centred_teacher(target, centred, similarity):
    """4 and 6 are -1 and 1 about their mean; a constant is 10 / sqrt(2 * 52) like them."""
    distillation = build_distillation(2, 2, 1, target, loss_weight=2.0, centred=centred)
    distillation.projection.weight.zero_()
    distillation.projection.bias.fill_(3.0)
    distillation.know_centroids(torch.tensor([[4.0], [6.0]]))
    tokens, features = torch.tensor([[0, 1]]), torch.tensor([[[4.0], [6.0]]])
    loss = distillation(torch.randn(1, 2, 2), tokens, features, None)
    assert float(loss) == pytest.approx(2 * math.log(1 + math.exp(-similarity)), abs=1e-5)


def test_what_the_teacher_is_made_of_must_be_there():
    first, tokens, features = torch.randn(1, 3, 2), torch.tensor([[0, 1]]), torch.randn(1, 2, 5)
    with pytest.raises(TokenError, match="learns from semantic tokens and got none: train it with"):
        build_distillation(3, 4, 5)(first, None, features, None)
    with pytest.raises(TokenError, match="run stages 3 to 5 with --keep_features true"):
        build_distillation(3, 4, 5, "features")(first, tokens, None, None)
    with pytest.raises(ConfigError, match=r"distillation: target 'mean'.*centroids, features"):
        build_distillation(3, 4, 5, "mean")

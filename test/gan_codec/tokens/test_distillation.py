"""Distillation into the first layer: the loss worked by hand, and padding."""

import math

import pytest
import torch

from espnet_stacodec.gan_codec.tokens.distillation import Distillation


@torch.no_grad()
def test_the_loss_worked_by_hand():
    """Features that agree over time cost log(1 + e^-1), opposite ones log(1 + e)."""
    distillation = Distillation(2, 3, 2, loss_weight=1.0)
    distillation.projection.weight.copy_(torch.eye(2))
    distillation.projection.bias.zero_()
    distillation.centroids.copy_(torch.tensor([[1.0, 0.0], [2.0, 1.0], [9.0, 9.0]]))
    tokens = torch.tensor([[0, 1]])
    first = torch.tensor([[[2.0, 4.0], [0.0, -5.0]]])  # (B, D, T)
    expected = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1))) / 2
    assert float(distillation(first, tokens, None)) == pytest.approx(expected, abs=1e-5)


@torch.no_grad()
def test_padding_changes_nothing():
    torch.manual_seed(0)
    distillation = Distillation(3, 4, 5)
    distillation.centroids.normal_()
    first, tokens = torch.randn(1, 3, 7), torch.randint(4, (1, 7))
    padded = torch.cat([tokens[:, :4], torch.full((1, 3), -1)], 1)
    alone = distillation(first[..., :4], tokens[:, :4], None)
    torch.testing.assert_close(distillation(first, padded, torch.tensor([4])), alone)


@torch.no_grad()
@pytest.mark.parametrize(("centred", "similarity"), [(True, 0.0), (False, 5 / math.sqrt(26))])
def test_a_constant_student_gets_nothing_of_centred_centroids(centred, similarity):
    """4 and 6 are -1 and 1 about their mean; a constant is 10 / sqrt(2 * 52) like them."""
    distillation = Distillation(2, 2, 1, loss_weight=2.0, centred=centred)
    distillation.projection.weight.zero_()
    distillation.projection.bias.fill_(3.0)
    distillation.know_centroids(torch.tensor([[4.0], [6.0]]))
    loss = distillation(torch.randn(1, 2, 2), torch.tensor([[0, 1]]), None)
    assert float(loss) == pytest.approx(2 * math.log(1 + math.exp(-similarity)), abs=1e-5)

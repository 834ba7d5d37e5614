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

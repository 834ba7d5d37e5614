"""Span masks: what is hidden, and how often."""

from typing import Any

import pytest
import torch

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.gan_codec.tokens.span_mask import SpanMask


def test_spans_are_whole_and_no_longer_than_asked_for():
    torch.manual_seed(0)
    mask = SpanMask(1.0, time_spans=1, time_length=10, feature_spans=0, feature_length=8)
    hidden = (mask(torch.ones(50, 4, 30)) == 0)[:, 0]
    assert (hidden.sum(1) == 10).all()
    assert (hidden.int().diff(dim=1).abs().sum(1) <= 2).all()
    assert len({tuple(row.tolist()) for row in hidden}) > 10


@pytest.mark.parametrize("size", [(2, 513), (513, 2)])
def test_lower_precision_hides_the_same_places(size):
    """Of more than 256, too, which bfloat16 does not count one by one."""
    hidden = []
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(0)
        mask = SpanMask(1.0, time_spans=1, time_length=1, feature_spans=1, feature_length=1)
        hidden.append(mask(torch.ones(4000, *size, dtype=dtype)) == 0)
    assert hidden[0].any(0)[-1, -1] and torch.equal(*hidden)


def test_features_and_frames_are_drawn_separately_for_half_of_the_items():
    torch.manual_seed(0)
    hidden = SpanMask()(torch.ones(2000, 64, 100)) == 0
    frames, features = hidden.all(1).any(1), hidden.all(2).any(1)
    for share in (frames, features):
        assert 0.45 < share.float().mean() < 0.55
    assert 0.2 < (frames & features).float().mean() < 0.3


def test_without_probability_nothing_is_hidden():
    x = torch.randn(3, 4, 5)
    assert torch.equal(SpanMask(0.0)(x), x)


def test_an_input_shorter_than_a_span():
    assert (SpanMask(1.0)(torch.ones(1, 4, 5)) == 0).all()


def test_numbers_that_are_none():
    with pytest.raises(ConfigError, match=r"probability 1\.5 is outside"):
        SpanMask(1.5)
    with pytest.raises(ConfigError, match="masking: time_spans -1 is below 0"):
        SpanMask(time_spans=-1)
    wrong: dict[str, Any] = {"feature_spans": 1.5}
    with pytest.raises(ConfigError, match="masking: feature_spans 1.5 is of type float; give int"):
        SpanMask(**wrong)

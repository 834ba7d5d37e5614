"""The bottleneck: windows worked by hand, padding, and parameters that all learn."""

from typing import Any

import pytest
import torch

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.gan_codec.bottleneck import Bottleneck, WindowedTransformer
from espnet_stacodec.gan_codec.windows import ReferenceWindows, Windows


def build(kind=Bottleneck, **changes) -> Any:
    torch.manual_seed(0)
    sizes = {"hidden": 8, "layers": 2, "heads": 2, "feed_forward": 12, "window": 6, "overlap": 2}
    return kind(4, **sizes | changes)


@pytest.mark.parametrize(
    ("length", "full", "reference"),
    [
        (1, [0], [0]),
        (6, [0], [0]),
        (7, [0, 1], [0, 4]),
        (10, [0, 4], [0, 4, 8]),
        (11, [0, 4, 5], [0, 4, 8]),
    ],
)
def test_windows_worked_by_hand(length, full, reference):
    assert Windows(6, 2).starts(length) == full
    assert ReferenceWindows(6, 2).starts(length) == reference


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"hidden": 0}, "hidden 0 is below 1"),
        ({"layers": 0}, "layers 0 is below 1"),
        ({"heads": 0}, "heads 0 is below 1"),
        ({"feed_forward": -1}, "feed_forward -1 is below 1"),
        ({"heads": 3}, "cannot divide hidden 8 among 3 heads; give a multiple of 3"),
    ],
)
def test_numbers_out_of_their_range(numbers, message):
    with pytest.raises(ConfigError, match=f"A transformer.*{message}"):
        build(**numbers)


@pytest.mark.parametrize("overlap", [6, 7, -1])
def test_windows_that_cannot_be(overlap):
    with pytest.raises(ConfigError, match=f"cannot overlap by {overlap} frames"):
        Windows(6, overlap)


@torch.no_grad()
def test_overlapping_windows_are_averaged():
    model = build(WindowedTransformer).eval()
    x = torch.randn(1, 4, 10)
    # Windows of frames 0..5 and 4..9.
    first, second = model(x[..., :6]), model(x[..., 4:])
    out = model(x)
    torch.testing.assert_close(out[..., :4], first[..., :4])
    torch.testing.assert_close(out[..., 6:], second[..., 2:])
    torch.testing.assert_close(out[..., 4:6], (first[..., 4:] + second[..., :2]) / 2)


@pytest.mark.parametrize("windows", ["full", "reference"])
@torch.no_grad()
def test_an_item_is_the_same_alone_and_in_a_padded_batch(windows):
    model = build(windows=windows).eval()
    lengths = [3, 6, 7, 13, 20]
    x = torch.randn(len(lengths), 4, max(lengths))
    together = model(x, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        alone = model(x[row : row + 1, :, :length])
        torch.testing.assert_close(together[row : row + 1, :, :length], alone)


@torch.no_grad()
def test_the_skip_connection_is_half_of_what_went_in():
    plain, bottleneck = build(WindowedTransformer).eval(), build().eval()
    bottleneck.load_state_dict(plain.state_dict())
    x = torch.randn(1, 4, 5)
    unmixed = bottleneck.out_projection(bottleneck.in_projection(x.transpose(1, 2)))
    expected = 0.5 * unmixed.transpose(1, 2) + 0.5 * plain(x)
    torch.testing.assert_close(bottleneck(x), expected)


def test_every_parameter_learns():
    model = build()
    model(torch.randn(2, 4, 9), torch.tensor([9, 5])).square().mean().backward()
    # A key's bias shifts all scores alike, so the softmax does not see it.
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_unknown_windows():
    with pytest.raises(ConfigError, match="windows 'round' is unknown; known are full, reference"):
        build(windows="round")


@torch.no_grad()
def test_an_untrained_bottleneck_is_nearly_the_identity():
    model = build()
    model.begin_as_identity()
    x = torch.randn(2, 4, 9)
    difference = (model(x) - x).std()
    assert 0 < difference < 0.2


def test_all_learns_from_the_beginning_as_identity():
    model = build()
    model.begin_as_identity()
    model(torch.randn(2, 4, 9)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())

"""The encoder of residual convolutions, alone and in ESPnet's tasks."""

import importlib

import pytest
import torch

from espnet_stacodec.encoder.convolution import ConvolutionEncoder
from espnet_stacodec.errors import ConfigError


@pytest.fixture
def encoder() -> ConvolutionEncoder:
    torch.manual_seed(0)
    return ConvolutionEncoder(input_size=3, output_size=4, num_blocks=2, kernel_size=3).eval()


def test_padding_never_changes_an_utterance(encoder):
    long, short = torch.randn(1, 9, 3), torch.randn(1, 4, 3)
    batch = torch.full((2, 9, 3), 7.0)
    batch[0], batch[1, :4] = long[0], short[0]
    out, lengths, states = encoder(batch, torch.tensor([9, 4]))
    assert lengths.tolist() == [9, 4] and states is None
    torch.testing.assert_close(out[:1], encoder(long, torch.tensor([9]))[0])
    torch.testing.assert_close(out[1:, :4], encoder(short, torch.tensor([4]))[0])
    assert (out[1, 4:] == 0).all()


def test_a_frame_reaches_as_far_as_the_kernels(encoder):
    """Two blocks of 3 frames: two frames to each side, and none further."""
    frames = torch.zeros(1, 11, 3)
    changed = frames.clone()
    changed[0, 5] = 1
    lengths = torch.tensor([11])
    differs = (encoder(frames, lengths)[0] != encoder(changed, lengths)[0]).any(2)[0]
    assert differs.nonzero().flatten().tolist() == [3, 4, 5, 6, 7]


def test_without_weights_in_the_blocks_it_is_a_norm_of_the_input(encoder):
    for convolution in encoder.convolutions:
        torch.nn.init.zeros_(convolution.weight)
        torch.nn.init.zeros_(convolution.bias)
    frames = torch.randn(1, 5, 3)
    wanted = torch.nn.functional.layer_norm(encoder.input(frames), (4,))
    torch.testing.assert_close(encoder(frames, torch.tensor([5]))[0], wanted)


def test_every_parameter_learns(encoder):
    out, _, _ = encoder.train()(torch.randn(2, 6, 3), torch.tensor([6, 4]))
    (out * torch.randn_like(out)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


@pytest.mark.parametrize("bad", [{"kernel_size": 4}, {"num_blocks": 0}, {"output_size": 0}])
def test_sizes_that_cannot_be(bad):
    with pytest.raises(ConfigError, match="must be positive, kernel_size odd"):
        ConvolutionEncoder(input_size=3, **bad)


@pytest.mark.parametrize("task", ["asr", "mt", "slu"])
def test_espnet_knows_it(task):
    tasks = importlib.import_module(f"espnet2.tasks.{task}")
    assert tasks.encoder_choices.get_class("convolution") is ConvolutionEncoder
    assert tasks.encoder_choices.get_class("convolution")(input_size=3).output_size() == 128

"""ConvNeXt stacks: what a frame sees, and that padding is never seen."""

import pytest
import torch

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.gan_codec.causal_convnext import CausalConvNeXt
from espnet_stacodec.gan_codec.convnext import ConvNeXt


def build(**changes) -> ConvNeXt:
    """A small stack whose blocks have all to say."""
    torch.manual_seed(0)
    stack = ConvNeXt(
        **{"inputs": 5, "outputs": 3, "channels": 8, "blocks": 2, "kernel": 3} | changes
    )
    with torch.no_grad():
        for name, weight in stack.named_parameters():
            if name.endswith(".scale"):
                weight.fill_(1.0)
    return stack.eval()


def test_an_item_is_the_same_alone_and_in_a_padded_batch():
    stack, x = build(), torch.randn(2, 9, 5)
    batch = stack(x, torch.tensor([9, 4]))
    torch.testing.assert_close(batch[1, :4], stack(x[1:, :4])[0])
    torch.testing.assert_close(batch[0], stack(x[:1])[0])


def test_a_frame_sees_as_far_as_the_kernels_reach():
    stack, x = build(blocks=2, kernel=5), torch.randn(1, 21, 5)
    other = x.clone()
    other[:, 10] += 1
    changed = (stack(other) - stack(x)).abs().amax(2)[0] > 1e-6
    assert changed.nonzero().flatten().tolist() == list(range(6, 15))


def test_without_blocks_frames_are_projected_one_by_one():
    stack, x = build(blocks=0), torch.randn(1, 4, 5)
    torch.testing.assert_close(stack(x)[:, 2], stack(x[:, 2:3])[:, 0])


def test_a_kernel_without_a_middle():
    with pytest.raises(ConfigError, match="4 frames has no middle"):
        build(kernel=4)


def test_every_parameter_gets_a_gradient():
    stack = build().train()
    stack(torch.randn(2, 6, 5)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in stack.parameters())


@pytest.mark.parametrize("stack", [ConvNeXt, CausalConvNeXt])
@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"kernel": 0}, "kernel 0; give 1 or more"),
        ({"kernel": -1}, "kernel -1; give 1 or more"),
        ({"blocks": -1}, "blocks -1; give 0 or more"),
        ({"channels": 0}, "channels 0; give 1 or more"),
        ({"expansion": 0}, "nothing left with expansion 0; give e.g. 3.0"),
    ],
)
def test_sizes_that_are_too_small(stack, size, message):
    with pytest.raises(ConfigError, match=message):
        stack(**{"inputs": 5, "outputs": 3, "channels": 8} | size)

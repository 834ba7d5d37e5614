"""Causal transformers: what a frame sees, and steps that give what the whole sequence gives."""

import pytest
import torch

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.gan_codec.causal import CausalBottleneck, CausalTransformer, Memory

SIZES = {"hidden": 16, "heads": 2, "feed_forward": 24}


def build(layers: int = 2, kind: type[CausalTransformer] = CausalTransformer, **numbers: int):
    torch.manual_seed(0)
    return kind(6, layers=layers, **SIZES, **numbers).eval().requires_grad_(False)


def in_steps(model: CausalTransformer, x: torch.Tensor, sizes: list[int], memory: Memory):
    """Run x (B, D, T) in pieces of these sizes, and the zeros that are looked ahead at."""
    end = torch.zeros(*x.shape[:2], model.lookahead.frames)
    pieces = [*x.split(sizes, 2), end]
    return torch.cat([model.step(piece, memory, "part") for piece in pieces], 2)


@pytest.mark.parametrize("lookahead", [0, 1, 4])
@pytest.mark.parametrize("sizes", [[1] * 40, [5] * 8, [2, 0, 1, 5, 3, 4] * 2 + [5, 5]])
def test_steps_give_what_the_whole_sequence_gives(lookahead, sizes):
    model = build(context_frames=7, lookahead_frames=lookahead)
    x = torch.randn(3, 6, sum(sizes))
    made = in_steps(model, x, sizes, model.memory(3, 5, "part"))
    torch.testing.assert_close(made, model(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("lookahead", [0, 3])
def test_a_frame_depends_on_its_context_and_on_what_it_looks_ahead_at(lookahead):
    model = build(layers=1, context_frames=5, lookahead_frames=lookahead)
    x = torch.randn(1, 6, 30)
    before = model(x)[0, :, 15]
    for frame in range(30):
        changed = x.clone()
        changed[0, :, frame] += 1
        difference = (model(changed)[0, :, 15] - before).abs().max()
        # A frame before it brings what that one looked ahead at.
        if 15 - 4 <= frame <= 15 + lookahead:
            assert difference > 1e-4, frame
        else:
            assert difference == 0, frame


def test_layers_do_not_add_up_what_is_looked_ahead_at():
    model = build(layers=3, lookahead_frames=2)
    x = torch.randn(1, 6, 20)
    changed = x.clone()
    changed[0, :, 13:] += 1
    assert torch.equal(model(changed)[..., :11], model(x)[..., :11])


def test_an_item_of_a_padded_batch_is_as_alone():
    model = build(lookahead_frames=2)
    x = torch.randn(3, 6, 20)
    made = model(x, torch.tensor([20, 9, 1]))
    torch.testing.assert_close(made[1, :, :9], model(x[1:2, :, :9])[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(made[2, :, :1], model(x[2:3, :, :1])[0], rtol=0, atol=1e-6)


def test_positions_never_run_out():
    """A stream that has run for a year goes on as one that has just begun."""
    model = build(context_frames=7)
    x = torch.randn(1, 6, 30)
    memory = model.memory(1, 5, "part")
    made = in_steps(model, x, [5] * 6, memory)
    later = model.memory(1, 5, "part")
    later["part.received"] += 50 * 3600 * 24 * 365
    found = in_steps(model, x, [5] * 6, later)
    torch.testing.assert_close(found, made, rtol=0, atol=1e-4)
    assert {name: v.shape for name, v in later.items()} == {n: v.shape for n, v in memory.items()}


def test_an_untrained_bottleneck_lets_nearly_everything_through():
    model = build(kind=CausalBottleneck, lookahead_frames=2)
    model.begin_as_identity()
    x = torch.randn(2, 6, 50)
    assert (model(x) - x).std() < 0.3


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"lookahead_frames": 9}, r"cannot look 9 frames ahead; give lookahead_frames in 0\.\.8"),
        ({"lookahead_frames": -1}, "cannot look -1 frames ahead"),
        ({"context_frames": 0}, "cannot attend to 0 frames; give context_frames of 1 or more"),
        ({"heads": 0}, "heads 0 is below 1"),
        ({"layers": -1}, "layers -1 is below 0"),
        ({"heads": 3}, "cannot divide hidden 16 among 3 heads .* give a multiple of 6"),
    ],
)
def test_numbers_out_of_their_range(numbers, message):
    with pytest.raises(ConfigError, match=message):
        CausalTransformer(6, **SIZES | numbers)

"""A causal SEANet in steps: the outputs of the whole signal, for any pieces."""

import pytest
import torch
from causal_codecs import HOP, cuts
from espnet2.gan_codec.shared.decoder.seanet import SEANetDecoder
from espnet2.gan_codec.shared.encoder.seanet import SEANetEncoder

from espnet_stacodec.gan_codec.folding import fold_weight_norm
from espnet_stacodec.gan_codec.seanet import build_seanet
from espnet_stacodec.streaming.seanet import SEANetSteps

SIZES = {"n_filters": 4, "ratios": [8, 5, 4, 2], "dimension": 8}
FRAMES = 30


def build(network, lstm: int = 2, folded: bool = True):
    torch.manual_seed(0)
    seanet = build_seanet(network, bidirectional=False, causal=True, lstm=lstm, **SIZES).eval()
    if folded:
        fold_weight_norm(seanet)
    return seanet.requires_grad_(False)


def whole_and_steps(network, x: torch.Tensor, frame: int, seed: int, **options):
    """Return the outputs of x (B, C, T) at once, and in random pieces of `frame` samples."""
    seanet = build(network, **options)
    steps = SEANetSteps(seanet, "part")
    memory = steps.memory(len(x))
    sizes = [frame * size for size in cuts(x.shape[2] // frame, seed, 9) if size]
    made = torch.cat([steps(piece, memory) for piece in x.split(sizes, 2)], 2)
    return seanet(x), made


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("options", [{}, {"lstm": 0}, {"folded": False}])
def test_the_encoder(options, seed):
    audio = 0.1 * torch.randn(2, 1, FRAMES * HOP)
    whole, made = whole_and_steps(SEANetEncoder, audio, HOP, seed, **options)
    assert whole.shape == (2, 8, FRAMES)
    torch.testing.assert_close(made, whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("options", [{}, {"lstm": 0}, {"folded": False}])
def test_the_decoder(options, seed):
    whole, made = whole_and_steps(SEANetDecoder, torch.randn(2, 8, FRAMES), 1, seed, **options)
    assert whole.shape == (2, 1, FRAMES * HOP)
    torch.testing.assert_close(made, whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("network", [SEANetEncoder, SEANetDecoder])
def test_nothing_depends_on_later_frames(network):
    """Also nothing of their own frame's latents depends on later samples than its own."""
    seanet = build(network)
    frame = HOP if network is SEANetEncoder else 1
    out = 1 if network is SEANetEncoder else HOP
    x = torch.randn(1, seanet.model[0].conv.conv.in_channels, FRAMES * frame)
    changed = x.clone()
    changed[..., 12 * frame :] += 1
    one, other = seanet(x), seanet(changed)
    assert torch.equal(one[..., : 12 * out], other[..., : 12 * out])
    assert (one[..., 12 * out : 13 * out] != other[..., 12 * out : 13 * out]).any()


def test_what_is_remembered_is_bounded():
    steps = SEANetSteps(build(SEANetEncoder), "part")
    memory = steps.memory(1)
    shapes = {name: value.shape for name, value in memory.items()}
    for _ in range(3):
        steps(torch.randn(1, 1, 7 * HOP), memory)
    assert {name: value.shape for name, value in memory.items()} == shapes
    # A view of a piece would keep the whole piece.
    assert all(value.untyped_storage().nbytes() == value.nbytes for value in memory.values())

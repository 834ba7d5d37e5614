"""What is folded for inference computes the same."""

import copy

import pytest
import torch
from espnet2.gan_codec.shared.decoder.seanet import SConvTranspose1d
from espnet2.gan_codec.shared.encoder.seanet import SConv1d
from torch.nn.utils import parametrize

from espnet_stacodec.gan_codec.folding import fold
from espnet_stacodec.gan_codec.generator import STACodecGenerator


def build() -> STACodecGenerator:
    torch.manual_seed(0)
    # A stride of 5 cannot be padded equally on both sides.
    generator = STACodecGenerator(16000, dimension=8, n_filters=2, ratios=(5, 4), lstm_layers=1,
        n_codebooks=2, codebook_size=4, assignment="none")  # fmt: skip
    return generator.eval()


@pytest.fixture(scope="module")
def folded() -> STACodecGenerator:
    generator = build()
    fold(generator)
    return generator


@pytest.mark.parametrize("lengths", [None, torch.tensor([30, 17])])
@torch.inference_mode()
def test_latents_and_audio_are_the_same(folded, lengths):
    generator = build()
    audio, latents = torch.randn(2, 1, 30 * 20), torch.randn(2, 8, 30)
    kept = audio.clone(), latents.clone()
    samples = None if lengths is None else 20 * lengths
    expected = generator.encode(audio, samples)
    torch.testing.assert_close(folded.encode(audio, samples), expected, rtol=0, atol=1e-6)
    expected = generator.decoder(latents, lengths)
    torch.testing.assert_close(folded.decoder(latents, lengths), expected, rtol=0, atol=1e-6)
    assert torch.equal(audio, kept[0]) and torch.equal(latents, kept[1])


def test_only_odd_strides_are_padded_outside(folded):
    assert not any(parametrize.is_parametrized(module) for module in folded.modules())
    left = [m for m in folded.modules() if isinstance(m, SConv1d | SConvTranspose1d)]
    assert [type(module) for module in left] == [SConv1d, SConvTranspose1d]
    assert any(getattr(module, "inplace", False) for module in folded.modules())


@torch.inference_mode()
def test_what_was_copied_before_goes_on():
    generator, audio = build(), torch.randn(1, 1, 200)
    expected = generator.encode(audio)
    for _ in range(2):
        fold(copy.deepcopy(generator))
    assert torch.equal(generator.encode(audio), expected)

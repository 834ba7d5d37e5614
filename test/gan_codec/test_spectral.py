"""Encoder and decoder on spectra: lengths, padding, and an inverse STFT that is one."""

import pytest
import torch

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.gan_codec.spectral import SpectralDecoder, SpectralEncoder

HOP = 20
SIZES = {"dimension": 6, "hop_samples": HOP, "n_fft": 80, "channels": 8, "blocks": 1, "kernel": 3}


def build(network, **changes):
    """A small network."""
    torch.manual_seed(0)
    return network(**SIZES | changes).eval()


def test_a_frame_of_latents_for_each_hop_and_a_hop_of_audio_for_each_frame():
    latents = build(SpectralEncoder)(torch.randn(2, 1, 7 * HOP))
    assert latents.shape == (2, 6, 7)
    assert build(SpectralDecoder)(latents).shape == (2, 1, 7 * HOP)


def test_an_item_is_the_same_alone_and_in_a_padded_batch():
    encoder, decoder = build(SpectralEncoder), build(SpectralDecoder)
    audio, frames = torch.randn(2, 1, 9 * HOP), torch.tensor([9, 4])
    latents = encoder(audio, frames * HOP)
    alone = encoder(audio[1:, :, : 4 * HOP])
    torch.testing.assert_close(latents[1:, :, :4], alone)
    assert not latents[1, :, 4:].any()
    decoded = decoder(latents, frames)
    torch.testing.assert_close(decoded[1:, :, : 4 * HOP], decoder(alone))
    assert not decoded[1, :, 4 * HOP :].any()


@pytest.mark.parametrize("n_fft", [3 * HOP, 4 * HOP, 5 * HOP])
def test_overlapping_the_frames_of_a_signal_gives_it_back(n_fft):
    decoder, audio = build(SpectralDecoder, n_fft=n_fft), torch.randn(1, 40 * HOP)
    side = decoder.side
    padded = torch.nn.functional.pad(audio, (side, n_fft - HOP - side))
    frames = padded.unfold(1, n_fft, HOP) * decoder.window
    again = decoder._overlap_add(frames * decoder.window)
    # At the ends not all windows are there.
    inner = slice(n_fft, -n_fft)
    torch.testing.assert_close(again[:, inner], audio[:, inner])


def test_a_frame_lies_around_the_middle_of_its_hop():
    encoder, audio = build(SpectralEncoder, kernel=1), torch.zeros(1, 1, 11 * HOP)
    audio[..., 5 * HOP + HOP // 2] = 1.0
    changed = encoder(audio) - encoder(torch.zeros_like(audio))
    sizes = changed.abs().sum(1)[0]
    assert (sizes > 1e-6).nonzero().flatten().tolist() == [4, 5, 6]


def test_silence_is_finite_and_so_are_its_gradients():
    encoder, decoder = build(SpectralEncoder).train(), build(SpectralDecoder).train()
    audio = torch.zeros(1, 1, 5 * HOP, requires_grad=True)
    decoder(encoder(audio)).square().sum().backward()
    for tensor in (audio, *encoder.parameters(), *decoder.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()


@pytest.mark.parametrize("n_fft", [2 * HOP, 4 * HOP + 1])
def test_windows_that_do_not_add_up(n_fft):
    with pytest.raises(ConfigError, match=f"n_fft {n_fft} is not three or more.*give e.g. 80"):
        build(SpectralEncoder, n_fft=n_fft)

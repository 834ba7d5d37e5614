"""Causal networks on spectra: windows that end and begin with a frame, and padding."""

import pytest
import torch

from espnet_stacodec.gan_codec.causal_spectral import CausalSpectralDecoder, CausalSpectralEncoder

HOP = 20
SIZES = {"dimension": 6, "hop_samples": HOP, "channels": 8, "blocks": 1, "kernel": 3}


def encoder(**changes) -> CausalSpectralEncoder:
    torch.manual_seed(0)
    return CausalSpectralEncoder(**SIZES | {"n_fft": 60} | changes).eval()


def decoder(**changes) -> CausalSpectralDecoder:
    torch.manual_seed(0)
    return CausalSpectralDecoder(**SIZES | {"overlap_samples": 6} | changes).eval()


def test_a_frame_of_latents_for_each_hop_and_a_hop_of_audio_for_each_frame():
    latents = encoder()(torch.randn(2, 1, 7 * HOP))
    assert latents.shape == (2, 6, 7)
    assert decoder()(latents).shape == (2, 1, 7 * HOP)


def test_an_item_is_the_same_alone_and_in_a_padded_batch():
    audio, frames = torch.randn(2, 1, 9 * HOP), torch.tensor([9, 4])
    latents = encoder()(audio, frames * HOP)
    alone = encoder()(audio[1:, :, : 4 * HOP])
    torch.testing.assert_close(latents[1:, :, :4], alone)
    assert not latents[1, :, 4:].any()
    decoded = decoder()(latents, frames)
    torch.testing.assert_close(decoded[1:, :, : 4 * HOP], decoder()(alone))
    assert not decoded[1, :, 4 * HOP :].any()


@pytest.mark.parametrize("sample", [1, HOP // 2, HOP - 2])
def test_a_sample_is_seen_by_its_frame_and_as_long_as_the_window_is(sample):
    audio = torch.zeros(1, 1, 11 * HOP)
    audio[..., 5 * HOP + sample] = 1.0
    network = encoder(kernel=1)
    sizes = (network(audio) - network(torch.zeros_like(audio))).abs().sum(1)[0]
    assert (sizes > 1e-6).nonzero().flatten().tolist() == [5, 6, 7]


def test_the_window_counts_the_newest_samples_most():
    window = encoder(n_fft=100).window
    assert window.argmax() == 100 - round(HOP / 4)
    assert (window[:-5].diff() > 0).all() and (window[-5:].diff() < 0).all()


@pytest.mark.parametrize("overlap", [0, 6, HOP])
def test_what_fades_out_and_what_fades_in_add_up(overlap):
    """Frames that are the pieces of a signal, each continued by the next one's beginning."""
    network, audio = decoder(overlap_samples=overlap), torch.randn(1, 8 * HOP)
    frames = torch.nn.functional.pad(audio, (0, overlap)).unfold(1, HOP + overlap, HOP)
    before = audio.new_zeros(1, overlap)
    again, after = network._faded(frames * network.window, before)
    torch.testing.assert_close(again[:, overlap:], audio[:, overlap:])
    assert after.shape == (1, overlap)


def test_silence_is_finite_and_so_are_its_gradients():
    networks = encoder().train(), decoder().train()
    audio = torch.zeros(1, 1, 5 * HOP, requires_grad=True)
    networks[1](networks[0](audio)).square().sum().backward()
    assert audio.grad is not None and audio.grad.isfinite().all()
    for network in networks:
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_computing_in_bfloat16():
    with torch.autocast("cpu", torch.bfloat16):
        audio = decoder()(encoder()(torch.randn(1, 1, 5 * HOP)))
    assert audio.dtype == torch.float32 and audio.isfinite().all()

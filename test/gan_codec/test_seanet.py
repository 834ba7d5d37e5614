"""SEANet: padding never counts, frames are counted once, and the published network is met."""

import pytest
import torch
from espnet2.gan_codec.shared.decoder.seanet import SEANetDecoder
from espnet2.gan_codec.shared.encoder.seanet import SEANetEncoder

from espnet_stacodec.frames import FrameRule
from espnet_stacodec.gan_codec.lengths import length_mask
from espnet_stacodec.gan_codec.seanet import SkipLSTM, build_seanet

SIZES = {"dimension": 6, "n_filters": 2, "ratios": [8, 5, 4, 2]}


def encoder(bidirectional: bool = True, lstm: int = 2):
    torch.manual_seed(0)
    return build_seanet(SEANetEncoder, bidirectional, lstm=lstm, **SIZES).eval()


def decoder(bidirectional: bool = True, lstm: int = 2):
    torch.manual_seed(1)
    return build_seanet(SEANetDecoder, bidirectional, lstm=lstm, **SIZES).eval()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_an_item_is_the_same_alone_and_in_a_padded_batch(bidirectional, training):
    """Whatever lies in the padding, the longest item included; on a CPU there are two ways."""
    with torch.set_grad_enabled(training):
        check_padded_batch(bidirectional)


def check_padded_batch(bidirectional: bool) -> None:
    encode, decode = encoder(bidirectional), decoder(bidirectional)
    frames = torch.tensor([9, 1, 14, 2])
    audio = torch.randn(4, 1, 14 * 320)
    batched = encode(audio, frames * 320)
    assert batched.shape == (4, 6, 14)
    latents = torch.randn(4, 6, 14)
    decoded = decode(latents, frames)
    assert decoded.shape == (4, 1, 14 * 320)
    for row, count in enumerate(frames.tolist()):
        alone = encode(audio[row : row + 1, :, : count * 320])
        torch.testing.assert_close(batched[row, :, :count], alone[0], rtol=0, atol=1e-6)
        assert (batched[row, :, count:] == 0).all()
        alone = decode(latents[row : row + 1, :, :count])
        torch.testing.assert_close(decoded[row, :, : count * 320], alone[0], rtol=0, atol=1e-6)
        assert (decoded[row, :, count * 320 :] == 0).all()


@pytest.mark.parametrize("frames", [[9, 9, 9], [9, 1, 4]])
@torch.no_grad()
def test_on_a_cpu_only_recurrent_layers_see_a_batch(frames):
    encode = encoder()
    seen: dict[type, set[int]] = {}
    for layer in encode.model:
        layer.register_forward_hook(
            lambda layer, inputs, _: seen.setdefault(type(layer), set()).add(len(inputs[0]))
        )
    lengths = torch.tensor(frames)
    batched = encode(torch.randn(3, 1, 9 * 320), lengths * 320)
    assert seen.pop(SkipLSTM) == {3}
    assert set().union(*seen.values()) == {1}
    assert batched.shape == (3, 6, 9)


@torch.no_grad()
def test_frames_are_the_rounded_up_quotient_of_samples():
    encode, rule = encoder(lstm=0), FrameRule(320, 16000)
    for length in [1, 2, 319, 320, 321, 639, 640, 641, 3199, 3200, 3201, 15999, 16000, 16001]:
        whole = torch.zeros(1, 1, rule.num_samples(rule.num_frames(length)))
        assert encode(whole).shape[2] == rule.num_frames(length), length
        # Without rounding up here first, ESPnet's padding gives as many: no frame is cut.
        assert encode(torch.zeros(1, 1, length)).shape[2] == rule.num_frames(length), length


@torch.no_grad()
def test_only_the_bidirectional_one_looks_ahead():
    x = torch.randn(1, 4, 10)
    changed = x.clone()
    changed[:, :, 9] += 1
    for bidirectional in (True, False):
        layer = SkipLSTM(4, 1, bidirectional)
        assert layer(x).shape == x.shape
        assert torch.equal(layer(x)[:, :, :9], layer(changed)[:, :, :9]) != bidirectional


def test_lstm_layers_can_be_left_out():
    for network in (encoder(lstm=0), decoder(lstm=0)):
        assert not any(isinstance(layer, SkipLSTM) for layer in network.model)
    assert sum(isinstance(layer, SkipLSTM) for layer in encoder(lstm=1).model) == 1
    assert encoder(lstm=1).model[13].lstm.num_layers == 1


@pytest.mark.parametrize("lengths", [None, torch.tensor([640, 320])])
def test_every_parameter_gets_a_gradient(lengths):
    encode = encoder()
    encode(torch.randn(2, 1, 640), lengths).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encode.parameters())


def test_length_mask_worked_by_hand():
    mask = length_mask(torch.tensor([0, 2, 3]), 3)
    assert mask.tolist() == [[False] * 3, [True, True, False], [True] * 3]


@torch.no_grad()
def test_the_published_network(reference):
    """The released weights give the released implementation's latents and audio."""
    weights, outputs = reference
    networks = {}
    for part, network in (("encoder", SEANetEncoder), ("decoder", SEANetDecoder)):
        seanet = build_seanet(
            network, True, dimension=32, n_filters=8, ratios=[8, 5, 4, 2], lstm=2
        ).eval()
        # torch has renamed what weight normalization keeps.
        renamed = {
            name.removeprefix(f"{part}.")
            .replace("weight_g", "parametrizations.weight.original0")
            .replace("weight_v", "parametrizations.weight.original1"): value
            for name, value in weights.items()
            if name.startswith(f"{part}.model.")
        }
        seanet.load_state_dict(renamed)
        networks[part] = seanet
    cnn = networks["encoder"](torch.from_numpy(outputs["x"]))
    torch.testing.assert_close(cnn, torch.from_numpy(outputs["cnn"]), rtol=0, atol=1e-5)
    audio = networks["decoder"](torch.from_numpy(outputs["latent"]))
    torch.testing.assert_close(audio, torch.from_numpy(outputs["wav_dec"]), rtol=0, atol=1e-4)

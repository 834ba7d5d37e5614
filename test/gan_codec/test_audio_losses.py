"""Losses of generated audio: worked by hand, with stand-ins for spectra and discriminator."""

import types
from typing import Any

import pytest
import torch

from espnet_stacodec.gan_codec.audio_losses import AudioLosses
from espnet_stacodec.gan_codec.batch_part import BatchPart, BatchSize


class Spectral:
    """A loss that is the difference of the means; it notes which windows it was given."""

    def __init__(self):
        self.seen = []

    def draw(self):
        return [len(self.seen)]

    def __call__(self, fake, real, scales):
        self.seen.append(scales)
        return (fake.mean() - real.mean()).abs()


class Discriminator:
    """Says the mean of an item, after a feature that is its double; its windows are of 4 and 6."""

    discriminators = (types.SimpleNamespace(n_fft=4), types.SimpleNamespace(n_fft=6))

    def __init__(self):
        self.lengths = []

    def __call__(self, audio):
        self.lengths.append(audio.shape[-1])
        means = audio.mean((1, 2))
        return [[2 * means, means]]


@pytest.fixture
def pair():
    """Return audio of 8 and 4 samples, and what was generated of it."""
    audio, generated = torch.zeros(2, 1, 8), torch.zeros(2, 1, 8)
    generated[0], generated[1, :, :4], generated[1, :, 4:] = 0.5, 0.25, 9.0
    return audio, generated, torch.tensor([8, 4])


def build(adversary=True, stft=None):
    stand_ins: dict[str, Any] = {"mel": Spectral(), "stft": stft, "discriminator": Discriminator()}
    return AudioLosses(**stand_ins, adversary=adversary)


def whole(lengths):
    size = BatchSize(len(lengths), int(lengths.sum()), 0, 0)
    return BatchPart.alone(size)


def test_padding_has_no_loss_and_longer_items_have_more_of_it(pair):
    """8 of 12 samples are 0.5 off, 4 are 0.25 off: 5 / 12."""
    audio, generated, lengths = pair
    losses = build(adversary=False).of_generator(audio, generated, lengths, whole(lengths))
    assert {name: float(value) for name, value in losses.items()} == pytest.approx(
        {"reconstruct_loss": 5 / 12, "mel_loss": 5 / 12}
    )


def test_items_of_one_step_are_seen_with_the_same_windows(pair):
    audio, generated, lengths = pair
    losses = build(stft=Spectral())
    assert "stft_loss" in losses.of_generator(audio, generated, lengths, whole(lengths))
    assert losses.mel.seen == losses.stft.seen == [[0], [0]]


def test_the_generators_part_of_the_adversary_worked_by_hand(pair):
    """Hinge: -D(fake), -0.5 and -0.25; features differ by twice as much.

    The second item is padded to 6 samples, a window: its mean is 0.375 * 4 / 6.
    """
    audio, generated, lengths = pair
    generated[1, :, :4] = 0.375
    losses = build().of_generator(audio, generated, lengths, whole(lengths))
    assert float(losses["adv_loss"]) == pytest.approx(-5 / 12)
    assert float(losses["feat_match_loss"]) == pytest.approx(2 * 5 / 12)


def test_the_discriminators_turn_worked_by_hand(pair):
    """Hinge: 1 - D(real) is 1, 1 + D(fake) 1.5 and 1.25; 4 samples are padded to 6, a window."""
    audio, generated, lengths = pair
    generated[1, :, :4] = 0.375
    losses = build()
    real, fake = losses.of_discriminator(audio, generated, lengths, whole(lengths))
    assert float(real) == pytest.approx(1)
    assert float(fake) == pytest.approx((8 * 1.5 + 4 * 1.25) / 12)
    assert sorted(losses.discriminator.lengths) == [6, 6, 8, 8]

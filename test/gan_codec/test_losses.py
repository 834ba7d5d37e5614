"""Multi-scale mel loss, and losses of padded batches."""

import pytest
import torch

from espnet_stacodec.gan_codec.lengths import groups_of_equal_length
from espnet_stacodec.gan_codec.losses import MultiScaleMelLoss


@pytest.fixture(scope="module")
def mel_loss() -> MultiScaleMelLoss:
    return MultiScaleMelLoss(16000)


def signal(seed: int, rows: int = 1, length: int = 4000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 1, length, generator=generator) * 0.1


def test_equal_signals_have_no_loss(mel_loss):
    assert mel_loss(signal(0), signal(0)).item() == 0


def test_worse_signals_have_more_loss(mel_loss):
    clean, noise = signal(0), signal(1)
    losses = [mel_loss(clean + share * noise, clean).item() for share in (0.1, 0.5, 2.0)]
    assert 0 < losses[0] < losses[1] < losses[2]
    assert mel_loss(clean * 0.5, clean) > 0


def test_one_scale_worked_from_its_definition():
    loss = MultiScaleMelLoss(16000, window_exponents=(9, 9), n_mels=20, floor=1e-3)
    x, y = signal(0), signal(1)
    mel_x, mel_y = loss.mels[0](x), loss.mels[0](y)
    logs = (mel_x + 1e-3).log10() - (mel_y + 1e-3).log10()
    weight = 511**0.5
    expected = ((mel_x - mel_y).abs().mean() + weight * logs.square().mean()) / (weight + 1)
    torch.testing.assert_close(loss(x, y), expected)


def test_silence_does_not_outweigh_speech(mel_loss):
    """Inaudible noise in place of digital silence costs less than half the level."""
    quiet, silence = signal(1) * 1e-5, torch.zeros(1, 1, 4000)
    assert mel_loss(quiet, silence) < mel_loss(signal(0) * 0.5, signal(0))


def test_signals_shorter_than_a_window(mel_loss):
    loss = mel_loss(signal(0, length=10).requires_grad_(), signal(1, length=10))
    assert torch.isfinite(loss) and loss > 0


def test_gradient_is_finite_at_silence(mel_loss):
    audio = torch.zeros(1, 1, 2000, requires_grad=True)
    mel_loss(audio, signal(0, length=2000)).backward()
    assert audio.grad is not None and torch.isfinite(audio.grad).all()


def test_groups_worked_by_hand():
    groups = groups_of_equal_length(torch.tensor([5, 3, 5, 8]))
    assert [(length, rows.tolist()) for length, rows in groups] == [
        (3, [1]),
        (5, [0, 2]),
        (8, [3]),
    ]

"""Losses of spectrograms, and losses of padded batches."""

import math

import pytest
import torch
from torchaudio.transforms import MelSpectrogram

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.gan_codec.lengths import groups_of_equal_length
from espnet_stacodec.gan_codec.spectral_losses import CompressedSTFTLoss, MultiScaleMelLoss

# EnCodec's equation as it is written, and what is trained with.
FORMS = [{"alphas": True, "power": 1.0, "pad_mode": "constant"}, {}]


@pytest.fixture(scope="module", params=FORMS, ids=["equation", "default"])
def mel_loss(request) -> MultiScaleMelLoss:
    return MultiScaleMelLoss(16000, **request.param)


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


@pytest.mark.parametrize(("alphas", "weight"), [(True, 511**0.5), (False, 1.0)])
def test_one_scale_worked_from_its_definition(alphas, weight):
    loss = MultiScaleMelLoss(
        16000, (9, 9), n_mels=20, floor=1e-3, alphas=alphas, power=1.0, pad_mode="constant"
    )
    x, y = signal(0), signal(1)
    mel_x, mel_y = loss.mels[0](x), loss.mels[0](y)
    logs = (mel_x + 1e-3).log10() - (mel_y + 1e-3).log10()
    expected = ((mel_x - mel_y).abs().mean() + weight * logs.square().mean()) / (weight + 1)
    torch.testing.assert_close(loss(x, y), expected)


@pytest.mark.parametrize("length", [4000, 4001, 4095])
def test_the_defaults_are_what_audiocraft_trains_with(length):
    """Its `MultiScaleMelSpectrogramLoss`, written down from its source, with `alphas: false`."""
    x, y = signal(0, length=length), signal(1, length=length)
    expected = torch.zeros(())
    for window in (64, 128, 256, 512, 1024):
        hop = window // 4
        sizes = {"n_fft": window, "hop_length": hop, "f_min": 64.0, "n_mels": 64}
        mel = MelSpectrogram(16000, **sizes, normalized=True, center=False)

        def spectrum(audio, mel=mel, window=window, hop=hop):
            margin = (window - hop) // 2
            audio = torch.nn.functional.pad(audio, (margin, margin), "reflect")
            frames = math.ceil((audio.shape[-1] - window) / hop + 1)
            return mel(torch.nn.functional.pad(
                audio, (0, (frames - 1) * hop + window - audio.shape[-1])
            ))  # fmt: skip

        one, other = spectrum(x), spectrum(y)
        expected += (one - other).abs().mean()
        expected += ((1e-5 + one).log10() - (1e-5 + other).log10()).square().mean()
    torch.testing.assert_close(MultiScaleMelLoss(16000)(x, y), expected / 10)


def test_an_unknown_padding():
    with pytest.raises(ConfigError, match="pad_mode 'zero' is unknown; known are constant, refl"):
        MultiScaleMelLoss(16000, pad_mode="zero")


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


def test_compressed_spectra_worked_from_their_definition():
    loss = CompressedSTFTLoss(windows=[64], power=0.5, complex_share=0.25)
    x, y = signal(0), signal(1)

    def spectrum(audio):
        return torch.stft(
            audio[:, 0],
            64,
            16,
            window=torch.hann_window(64),
            pad_mode="constant",
            normalized=True,
            return_complex=True,
        )

    a, b = spectrum(x), spectrum(y)
    compressed = [torch.polar(s.abs() ** 0.5, s.angle()) for s in (a, b)]
    difference = compressed[0] - compressed[1]
    with_phase = (difference.real.abs() + difference.imag.abs()).mean()
    magnitudes = (a.abs() ** 0.5 - b.abs() ** 0.5).abs().mean()
    expected = 0.25 * with_phase + 0.75 * magnitudes
    torch.testing.assert_close(loss(x, y), expected, rtol=1e-3, atol=1e-4)


def test_compressed_spectra_hear_an_inverted_signal_and_a_weaker_one():
    loss = CompressedSTFTLoss()
    x = signal(0)
    assert loss(x, x) == 0
    assert loss(-x, x) > loss(0.5 * x, x) > 0
    silent = torch.zeros(1, 1, 4000, requires_grad=True)
    loss(silent, x).backward()
    assert silent.grad is not None
    assert silent.grad.isfinite().all()


@pytest.mark.parametrize("kind", [MultiScaleMelLoss, CompressedSTFTLoss])
def test_a_step_looks_at_some_scales_and_on_average_at_all(kind):
    sizes = {"sample_rate": 16000} if kind is MultiScaleMelLoss else {}
    x, y = signal(0), signal(1)
    some, whole = kind(**sizes, scales_per_step=1), kind(**sizes)
    torch.testing.assert_close(some.eval()(x, y), whole(x, y))
    torch.manual_seed(0)
    assert list(some.draw()) == list(range(len(some.windows)))
    some.train()
    drawn = torch.stack([some(x, y, some.draw()) for _ in range(200)])
    assert len(drawn.unique()) == len(some.windows)
    torch.testing.assert_close(drawn.mean(), whole(x, y), rtol=0.1, atol=0)


def test_no_scales():
    with pytest.raises(ConfigError, match="stft_loss_params: scales_per_step 0 is below 1"):
        CompressedSTFTLoss(scales_per_step=0)
    with pytest.raises(ConfigError, match="stft_loss_params: there is no window"):
        CompressedSTFTLoss([])


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"window_exponents": (10, 6)}, r"window_exponents \[10, 6\] are not"),
        ({"window_exponents": (0, 3)}, r"window_exponents \[0, 3\] are not"),
        ({"n_mels": 0}, "n_mels 0 is below 1"),
        ({"fmin": 9000.0}, r"fmin 9000.0 is outside 0\.\.8000"),
        ({"floor": 0.0}, "floor 0.0 is not above 0"),
        ({"power": float("nan")}, "power nan is not above 0"),
    ],
)
def test_mel_losses_that_cannot_be(numbers, message):
    with pytest.raises(ConfigError, match=f"codec_conf.mel_loss_params: {message}"):
        MultiScaleMelLoss(16000, **numbers)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"windows": [320, 2]}, "windows 2 is below 4"),
        ({"power": 0.0}, "power 0.0 is not above 0"),
        ({"complex_share": 2.0}, r"complex_share 2.0 is outside 0\.\.1"),
    ],
)
def test_losses_of_spectra_that_cannot_be(numbers, message):
    with pytest.raises(ConfigError, match=f"codec_conf.stft_loss_params: {message}"):
        CompressedSTFTLoss(**numbers)

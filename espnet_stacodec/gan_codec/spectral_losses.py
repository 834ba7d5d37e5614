"""What the generator is trained on besides the adversary: distances of spectrograms."""

import warnings
from collections.abc import Sequence

import torch
from torch import nn
from torchaudio.transforms import MelSpectrogram

from espnet_stacodec.config import check_positive, check_range, choose
from espnet_stacodec.errors import ConfigError

SHORTEST_WINDOW = 4  # whose quarter is a hop
# How a signal is continued at its ends: zeros around a centred first window, or its mirror image.
PAD_MODES = {"constant": True, "reflect": False}


class SpectralLoss(nn.Module):
    """A distance of spectrograms over several window lengths.

    Args:
        windows: Window lengths (samples).
        scales_per_step: How many of them, drawn anew, a step of the training looks at: most of
            the time is saved at equal progress; None for all.
        where: Its configuration, for messages.

    Raises:
        ConfigError: If there is no window, one is too short, or `scales_per_step` is not positive.
    """

    def __init__(self, windows: Sequence[int], scales_per_step: int | None, where: str) -> None:
        super().__init__()
        where = f"codec_conf.{where}"
        if not windows:
            raise ConfigError(f"{where}: there is no window; give one or more.")
        for window in windows:
            check_range(where, SHORTEST_WINDOW, windows=window)
        check_range(where, 1, scales_per_step=scales_per_step)
        self.windows = list(windows)
        self.scales_per_step = scales_per_step

    def draw(self) -> Sequence[int]:
        """Return the indices of the windows that a step looks at; all of them in validation.

        To be drawn once a step: so ranks and passes draw alike, whatever lengths their items have.
        """
        count, wanted = len(self.windows), self.scales_per_step
        if wanted is None or wanted >= count or not self.training:
            return range(count)
        # From the host's generator: no device is waited for.
        return torch.randperm(count)[:wanted].tolist()


class MultiScaleMelLoss(SpectralLoss):
    """L1 on mel spectrograms and weighted L2 on their logarithm, over several window lengths.

    EnCodec, arXiv 2210.13438, equation 2. The defaults are the loss that EnCodec's training code
    (audiocraft, `msspec` with `alphas: false`) and the authors of STACodec train with: power
    spectra, both terms of equal weight, reflected ends. The equation itself weights the logarithm
    by sqrt(window - 1) (`alphas: true`); with magnitudes (`power: 1`) and zeros at the ends that
    is the form in which short trainings learn more (see egs2/TEMPLATE/codec1/conf/
    train_small.yaml). ESPnet's `MultiScaleMelSpectrogramLoss` takes the L1 of the logarithm as
    well and has a floor of 1e-10, which lets digital silence outweigh speech.

    Args:
        sample_rate: Hz.
        window_exponents: First and last exponent of the window lengths 2**i; the hop is a quarter.
        n_mels: Mel bands at every scale.
        fmin: Lowest frequency (Hz).
        floor: Added to spectra before the logarithm.
        alphas: Weight the logarithmic term by sqrt(window - 1); else by 1.
        power: Exponent of the spectra: 1 magnitude, 2 power.
        pad_mode: "reflect" or "constant" (zeros), outside the signal.
        scales_per_step: As in `SpectralLoss`.

    Raises:
        ConfigError: If `pad_mode` is unknown, or a number is out of its range.
    """

    def __init__(
        self,
        sample_rate: int,
        window_exponents: tuple[int, int] = (6, 10),
        n_mels: int = 64,
        fmin: float = 64.0,
        floor: float = 1e-5,
        alphas: bool = False,
        power: float = 2.0,
        pad_mode: str = "reflect",
        scales_per_step: int | None = None,
    ) -> None:
        where = "codec_conf.mel_loss_params"
        first, last = window_exponents
        if not 2 <= first <= last:
            raise ConfigError(
                f"{where}: window_exponents {[first, last]} are not a first one of 2 or more and a"
                " last one that is not below it."
            )
        check_range(where, 1, n_mels=n_mels)
        check_range(where, 0, sample_rate / 2, fmin=fmin)
        check_positive(where, floor=floor, power=power)
        windows = [2**exponent for exponent in range(first, last + 1)]
        super().__init__(windows, scales_per_step, "mel_loss_params")
        self.weights = [(window - 1) ** 0.5 if alphas else 1.0 for window in self.windows]
        self.floor = floor
        self.centred = choose(PAD_MODES, pad_mode, f"{where}: pad_mode")
        with warnings.catch_warnings():
            # Short windows have fewer bins than mel bands; the empty bands add nothing.
            warnings.filterwarnings("ignore", message="At least one mel filterbank")
            self.mels = nn.ModuleList(
                MelSpectrogram(
                    sample_rate,
                    n_fft=window,
                    hop_length=window // 4,
                    f_min=fmin,
                    n_mels=n_mels,
                    power=power,
                    normalized=True,
                    center=self.centred,
                    pad_mode="constant",
                )
                for window in self.windows
            )

    def forward(
        self, estimate: torch.Tensor, target: torch.Tensor, scales: Sequence[int] | None = None
    ) -> torch.Tensor:
        """estimate, target: (B, 1, N) audio; scales: as `draw` gives them. Returns the loss ()."""
        loss = estimate.new_zeros(())
        chosen = range(len(self.windows)) if scales is None else scales
        for index in chosen:
            mel, window, weight = self.mels[index], self.windows[index], self.weights[index]
            x = mel(self._pad(estimate, window))
            with torch.no_grad():
                y = mel(self._pad(target, window))
            log_x, log_y = (x + self.floor).log10(), (y + self.floor).log10()
            loss = loss + nn.functional.l1_loss(x, y)
            loss = loss + weight * nn.functional.mse_loss(log_x, log_y)
        mean = len(self.windows) / len(chosen)
        return mean * loss / (sum(self.weights) + len(self.weights))

    def _pad(self, audio: torch.Tensor, window: int) -> torch.Tensor:
        """Reflect both ends of audio (B, 1, N), so that there is a frame at every hop."""
        if self.centred:
            return audio
        hop, length = window // 4, audio.shape[-1]
        margin = (window - hop) // 2
        # A signal must be longer than its reflection.
        audio = nn.functional.pad(audio, (0, max(0, margin + 1 - length)))
        audio = nn.functional.pad(audio, (margin, margin), "reflect")
        return nn.functional.pad(audio, (0, -length % hop))


class CompressedSTFTLoss(SpectralLoss):
    """L1 between spectra of compressed magnitude, with phases and without, over several scales.

    The power-law compressed loss of speech enhancement (arXiv 2009.01941): compression lets weak
    bins count, and the complex term lets phases count where there is energy.

    Args:
        windows: Window lengths (samples); the hop is a quarter.
        power: To which magnitudes are raised.
        complex_share: Share of the term with phases; the rest is that of magnitudes.
        scales_per_step: As in `SpectralLoss`.

    Raises:
        ConfigError: If there is no window, or a number is out of its range.
    """

    def __init__(
        self,
        windows: Sequence[int] = (320, 640, 1280),
        power: float = 0.3,
        complex_share: float = 0.5,
        scales_per_step: int | None = None,
    ) -> None:
        super().__init__(windows, scales_per_step, "stft_loss_params")
        check_positive("codec_conf.stft_loss_params", power=power)
        check_range("codec_conf.stft_loss_params", 0, 1, complex_share=complex_share)
        self.power, self.complex_share = power, complex_share
        for window in self.windows:
            self.register_buffer(f"window_{window}", torch.hann_window(window), persistent=False)

    def forward(
        self, estimate: torch.Tensor, target: torch.Tensor, scales: Sequence[int] | None = None
    ) -> torch.Tensor:
        """estimate, target: (B, 1, N) audio; scales: as `draw` gives them. Returns the loss ()."""
        loss = estimate.new_zeros(())
        chosen = range(len(self.windows)) if scales is None else scales
        for window in (self.windows[i] for i in chosen):
            x, x_magnitude = self._compressed(estimate, window)
            with torch.no_grad():
                y, y_magnitude = self._compressed(target, window)
            # Two numbers a bin: their mean is half of their sum.
            loss = loss + 2 * self.complex_share * nn.functional.l1_loss(x, y)
            loss = loss + (1 - self.complex_share) * nn.functional.l1_loss(x_magnitude, y_magnitude)
        return loss / len(chosen)

    def _compressed(self, audio: torch.Tensor, window: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the compressed spectrum (B, F, T, 2) of audio (B, 1, N), and its magnitude."""
        spectrum = torch.view_as_real(
            torch.stft(
                audio.squeeze(1),
                window,
                window // 4,
                window=getattr(self, f"window_{window}"),
                pad_mode="constant",
                normalized=True,
                return_complex=True,
            )
        )
        # At zero the gradient of a root is none.
        energy = spectrum.square().sum(3, keepdim=True) + 1e-8
        return spectrum * energy ** ((self.power - 1) / 2), energy ** (self.power / 2)

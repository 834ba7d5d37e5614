"""What the generator is trained on besides the adversary: multi-scale mel spectrograms."""

import warnings

import torch
from torch import nn
from torchaudio.transforms import MelSpectrogram

from espnet_stacodec.config import choose

# How a signal is continued at its ends: zeros around a centred first window, or its mirror image.
PAD_MODES = {"constant": True, "reflect": False}


class MultiScaleMelLoss(nn.Module):
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

    Raises:
        ConfigError: If `pad_mode` is unknown.
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
    ) -> None:
        super().__init__()
        first, last = window_exponents
        self.windows = [2**exponent for exponent in range(first, last + 1)]
        self.weights = [(window - 1) ** 0.5 if alphas else 1.0 for window in self.windows]
        self.floor = floor
        self.centred = choose(PAD_MODES, pad_mode, "codec_conf.mel_loss_params: pad_mode")
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

    def forward(self, estimate: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """estimate, target: (B, 1, N) audio. Returns the loss ()."""
        loss = estimate.new_zeros(())
        for mel, window, weight in zip(self.mels, self.windows, self.weights, strict=True):
            x, y = (mel(self._pad(audio, window)) for audio in (estimate, target))
            log_x, log_y = (x + self.floor).log10(), (y + self.floor).log10()
            loss = loss + nn.functional.l1_loss(x, y)
            loss = loss + weight * nn.functional.mse_loss(log_x, log_y)
        return loss / (sum(self.weights) + len(self.weights))

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

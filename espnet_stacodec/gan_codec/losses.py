"""What the generator is trained on besides the adversary: multi-scale mel spectrograms."""

import warnings

import torch
from torch import nn
from torchaudio.transforms import MelSpectrogram


class MultiScaleMelLoss(nn.Module):
    """L1 on mel magnitudes and weighted L2 on their logarithm, over several window lengths.

    EnCodec, arXiv 2210.13438, equation 2, in the form that its successors train with. ESPnet's
    `MultiScaleMelSpectrogramLoss` takes the L1 of the logarithm as well and has a floor of 1e-10,
    which lets digital silence outweigh speech.

    Args:
        sample_rate: Hz.
        window_exponents: First and last exponent of the window lengths 2**i; the hop is a quarter.
        n_mels: Mel bands at every scale.
        fmin: Lowest frequency (Hz).
        floor: Added to magnitudes before the logarithm.
    """

    def __init__(
        self,
        sample_rate: int,
        window_exponents: tuple[int, int] = (6, 10),
        n_mels: int = 64,
        fmin: float = 64.0,
        floor: float = 1e-5,
    ) -> None:
        super().__init__()
        first, last = window_exponents
        self.windows = [2**exponent for exponent in range(first, last + 1)]
        self.weights = [(window - 1) ** 0.5 for window in self.windows]
        self.floor = floor
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
                    power=1,
                    normalized=True,
                    pad_mode="constant",
                )
                for window in self.windows
            )

    def forward(self, estimate: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """estimate, target: (B, 1, N) audio. Returns the loss ()."""
        loss = estimate.new_zeros(())
        for mel, weight in zip(self.mels, self.weights, strict=True):
            x, y = mel(estimate), mel(target)
            log_x, log_y = (x + self.floor).log10(), (y + self.floor).log10()
            loss = loss + nn.functional.l1_loss(x, y)
            loss = loss + weight * nn.functional.mse_loss(log_x, log_y)
        return loss / (sum(self.weights) + len(self.weights))

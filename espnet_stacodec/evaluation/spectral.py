"""Distances of spectrograms at several scales."""

import functools

import numpy as np
import torch
from torch import nn
from torchaudio.transforms import MelSpectrogram, Spectrogram

SAMPLE_RATE = 16000
# Window (samples) and mel bands: the scales of DAC's loss that have no empty bands at 16 kHz.
MEL_SCALES = ((128, 10), (256, 20), (512, 40), (1024, 80), (2048, 160))
STFT_WINDOWS = (512, 1024, 2048)
FLOOR = 1e-5


def distances(reference: np.ndarray, estimate: np.ndarray) -> dict[str, float]:
    """Return both distances of (N,) signals at 16 kHz.

    mel_distance: over five scales, the mean absolute difference of log10 mel magnitudes.
    stft_distance: the same of the STFT's magnitudes, over three window lengths.
    Magnitudes below 1e-5 count as 1e-5; the hop is a quarter of the window. A gain of ten times is
    a distance of one.
    """
    signals = [torch.as_tensor(signal, dtype=torch.float32) for signal in (reference, estimate)]
    return {
        "mel_distance": _distance(_mel_transforms(), signals),
        "stft_distance": _distance(_stft_transforms(), signals),
    }


def _distance(transforms: list[nn.Module], signals: list[torch.Tensor]) -> float:
    total = 0.0
    for transform in transforms:
        one, other = (transform(signal).clamp(min=FLOOR).log10() for signal in signals)
        total += float((one - other).abs().mean())
    return total / len(transforms)


@functools.cache
def _mel_transforms() -> list[nn.Module]:
    return [
        MelSpectrogram(
            SAMPLE_RATE,
            n_fft=window,
            hop_length=window // 4,
            n_mels=n_mels,
            power=1,
            pad_mode="constant",
        )
        for window, n_mels in MEL_SCALES
    ]


@functools.cache
def _stft_transforms() -> list[nn.Module]:
    return [
        Spectrogram(n_fft=window, hop_length=window // 4, power=1, pad_mode="constant")
        for window in STFT_WINDOWS
    ]

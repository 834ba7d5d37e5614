"""Fidelity of resynthesized speech: PESQ, STOI, SI-SDR, mel distance."""

import functools
import math
import warnings

import fast_bss_eval
import numpy as np
import torch
from pesq import PesqError, pesq
from pystoi import stoi

from espnet_stacodec.errors import DataError

SAMPLE_RATE = 16000
SI_SDR_LIMIT_DB = 100


def pesq_wb(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Return wide-band PESQ (ITU-T P.862.2, MOS-LQO 1.04 to 4.64) of (N,) signals at 16 kHz.

    NaN where PESQ finds no speech in the reference or the signal is too short for it.
    """
    score = pesq(SAMPLE_RATE, reference, estimate, "wb", on_error=PesqError.RETURN_VALUES)
    return float(score) if score >= 0 else math.nan


def stoi_score(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Return short-time objective intelligibility (0 to 1) of (N,) signals at 16 kHz.

    NaN where fewer than 30 frames (0.4 s) of the reference are not silent.
    """
    if _is_silent(reference):
        return math.nan
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Not enough STFT frames")
        try:
            return float(stoi(reference, estimate, SAMPLE_RATE))
        except RuntimeWarning:
            return math.nan


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Return the scale-invariant signal-to-distortion ratio (dB) of (N,) signals, at most 100.

    NaN where one of them is silent.
    """
    if _is_silent(reference) or _is_silent(estimate):
        return math.nan
    # Without a limit the library fails where rounding, another one with each BLAS, leaves no
    # distortion at all.
    signals = (signal[None].astype(np.float64) for signal in (reference, estimate))
    return float(fast_bss_eval.si_sdr(*signals, zero_mean=True, clamp_db=SI_SDR_LIMIT_DB)[0])


def mel_distance(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Return the mean absolute difference of log10 mel magnitudes of (N,) signals at 16 kHz."""
    mel = _mel_transform()
    logs = [
        mel(torch.as_tensor(signal, dtype=torch.float32)).clamp(min=1e-5).log10()
        for signal in (reference, estimate)
    ]
    return float((logs[0] - logs[1]).abs().mean())


def score(reference: np.ndarray, estimate: np.ndarray) -> dict[str, float]:
    """Return all metrics of two (N,) float signals at 16 kHz.

    Raises:
        DataError: If the lengths differ.
    """
    if reference.shape != estimate.shape or reference.ndim != 1:
        raise DataError(
            f"Signals of shapes {reference.shape} and {estimate.shape} cannot be compared;"
            " resynthesized audio must have the length of its original."
        )
    return {
        "pesq": pesq_wb(reference, estimate),
        "stoi": stoi_score(reference, estimate),
        "si_sdr": si_sdr(reference, estimate),
        "mel_distance": mel_distance(reference, estimate),
    }


def _is_silent(signal: np.ndarray) -> bool:
    return np.ptp(signal) == 0


@functools.cache
def _mel_transform() -> torch.nn.Module:
    from torchaudio.transforms import MelSpectrogram

    return MelSpectrogram(SAMPLE_RATE, n_fft=1024, hop_length=256, n_mels=80, power=1)

"""Reading audio for the codec: mono, at its sampling rate, finite."""

import logging
from pathlib import Path

import numpy as np
import soundfile
import soxr

from espnet_stacodec.errors import DataError


def check_wave(wave: np.ndarray, where: str) -> np.ndarray:
    """Return a waveform as (N,) float32.

    Raises:
        DataError: If it is empty, not one-dimensional, not floating point, or has NaN or Inf.
    """
    wave = np.asarray(wave)
    if wave.ndim != 1:
        raise DataError(f"{where}: expected one channel (N,), got shape {wave.shape}; mix it down.")
    if len(wave) == 0:
        raise DataError(f"{where}: there are no samples in it.")
    if wave.dtype.kind != "f":
        raise DataError(f"{where}: expected floating point samples in [-1, 1], got {wave.dtype}.")
    if not np.isfinite(wave).all():
        raise DataError(f"{where}: {int((~np.isfinite(wave)).sum())} samples are NaN or infinite.")
    return wave.astype(np.float32, copy=False)


def resample(wave: np.ndarray, rate: int, target_rate: int, where: str) -> np.ndarray:
    """Return (N,) samples at `target_rate` (Hz), and say so in the log where that changes them.

    Raises:
        DataError: If `rate` is not positive.
    """
    if rate < 1:
        raise DataError(f"{where}: the sampling rate of {rate} Hz is invalid.")
    if rate == target_rate:
        return wave
    logging.info("%s: resampled from %d Hz to %d Hz.", where, rate, target_rate)
    return soxr.resample(wave, rate, target_rate, quality="VHQ")


def read_audio(path: Path | str) -> tuple[np.ndarray, int]:
    """Return ((N,) float32 samples, sampling rate in Hz) of an audio file, its channels averaged.

    Raises:
        DataError: If the file is missing or unreadable, or holds no finite samples.
    """
    if not Path(path).is_file():
        raise DataError(f"{path}: no such audio file.")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path}: not readable as audio ({error.error_string})") from error
    if samples.shape[1] > 1:
        logging.info("%s: %d channels averaged to one.", path, samples.shape[1])
    return check_wave(samples.mean(axis=1), str(path)), rate

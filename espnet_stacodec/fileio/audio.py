"""Audio files: read for the codec (mono, finite, level checked), resampled, written."""

import io
import logging
import operator
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import SupportsIndex

import numpy as np
import soundfile
import soxr

from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.files import atomic_write

# What is taken from folders. Files of other endings can be named; .raw is there to be refused.
AUDIO_ENDINGS = (
    *(".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".au", ".snd"),
    *(".caf", ".sph", ".nist", ".voc", ".w64", ".rf64", ".wve", ".raw"),
)
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)  # Hz, that Opus has
LOWEST_RATE_HZ = 1000
# Above it the samples are no audio in [-1, 1], but e.g. 16-bit integers saved as floats.
HIGHEST_PEAK = 8.0
# The largest sample of 16-bit PCM, which clipped audio has again and again.
FULL_SCALE = 1 - 2**-15
TOLERATED_CLIPPED_SHARE = 0.01
# What libsndfile takes for the number of samples where a header has none, and what is said then.
UNKNOWN_LENGTH = 2**63 - 1
LENGTH_IS_UNKNOWN = (
    "its header does not say how long it is, as of FLAC that came through a pipe; write it again to"
    " a file, e.g. with `ffmpeg -i IN.flac OUT.flac`, or as WAV"
)


def check_rate(rate: SupportsIndex, where: str) -> int:
    """Return a sampling rate (Hz) as int.

    Raises:
        DataError: If it is a truth value, or below 1 kHz.
    """
    if isinstance(rate, bool | np.bool_) or operator.index(rate) < LOWEST_RATE_HZ:
        raise DataError(
            f"{where}: the sampling rate of {rate} Hz is invalid; it must be at least"
            f" {LOWEST_RATE_HZ} Hz."
        )
    return operator.index(rate)


def check_level(peak: float, share_above: Callable[[float], float], where: str) -> str:
    """Return a remark about clipped audio; empty where less than a percent of it is clipped.

    Args:
        peak: Largest absolute sample.
        share_above: Returns the share of samples whose absolute value reaches a limit.
        where: Named in the error.

    Raises:
        DataError: If the peak is far beyond full scale.
    """
    if peak > HIGHEST_PEAK:
        raise DataError(
            f"{where}: its peak is {peak:g}, far beyond the full scale of 1; if these are 16-bit"
            " values, divide them by 32768."
        )
    if peak < FULL_SCALE:
        return ""
    share = share_above(FULL_SCALE)
    return f"{share:.1%} of the samples are clipped." if share > TOLERATED_CLIPPED_SHARE else ""


def next_rate(rate: int, rates: Sequence[int]) -> int:
    """Return the lowest of rising `rates` (Hz) that is not below a rate; the highest if none is."""
    return min((one for one in rates if one >= rate), default=rates[-1])


def at_rate(wave: np.ndarray, rate: float, target_rate: float) -> np.ndarray:
    """Return (N,) samples of a rate at `target_rate` (Hz)."""
    return wave if rate == target_rate else soxr.resample(wave, rate, target_rate, quality="VHQ")


def resample(wave: np.ndarray, rate: int, target_rate: int, where: str) -> np.ndarray:
    """Return what `at_rate` does, and log where that changes the samples."""
    if rate != target_rate:
        logging.info("%s: resampled from %d Hz to %d Hz.", where, rate, target_rate)
    return at_rate(wave, rate, target_rate)


def read_audio(path: Path | str) -> tuple[np.ndarray, int]:
    """Return ((N,) float32 samples, sampling rate in Hz) of an audio file, its channels averaged.

    Raises:
        DataError: If the file is missing or unreadable, or holds no finite samples, or its header
            does not say how many.
    """
    if not Path(path).is_file():
        raise DataError(f"{path}: no such audio file.")
    if Path(path).suffix.lower() == ".raw":
        raise DataError(
            f"{path}: not readable as audio (a .raw file does not tell its rate and sample format);"
            " convert it, e.g. with `sox -r 16000 -e signed -b 16 -c 1 IN.raw OUT.wav`."
        )
    try:
        # As bytes: soundfile takes names that are not UTF-8 only so.
        with soundfile.SoundFile(os.fsencode(path)) as file:
            if file.frames == UNKNOWN_LENGTH:
                raise DataError(f"{path}: {LENGTH_IS_UNKNOWN}.")
            samples, rate = file.read(dtype="float32", always_2d=True), file.samplerate
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path}: not readable as audio ({error.error_string}).") from error
    if samples.shape[1] > 1:
        logging.info("%s: %d channels averaged to one.", path, samples.shape[1])
    if not len(samples):
        raise DataError(f"{path}: there are no samples in it.")
    if invalid := int((~np.isfinite(samples)).any(axis=1).sum()):
        raise DataError(f"{path}: {invalid} samples are NaN or infinite.")
    return samples.mean(axis=1), rate


def write_audio(path: Path | str, samples: np.ndarray, rate: int, comment: str = "") -> None:
    """Write 16-bit audio, whole or not at all; samples beyond full scale are clipped.

    Args:
        path: .wav or .flac.
        samples: (N,) floating point.
        rate: Hz.
        comment: Kept in the file, unless it is empty; `read_comment` returns it.

    Raises:
        OSError: If the disk is full, or the file cannot be written.
    """
    # libsndfile does not say why it cannot write; Python does.
    content = io.BytesIO()
    kind = Path(path).suffix[1:].upper()
    with soundfile.SoundFile(content, "w", rate, 1, "PCM_16", format=kind) as file:
        if comment and kind == "FLAC":
            file.comment = comment
        file.write(samples)
        if comment and kind == "WAV":
            # After the samples: many programs expect them at byte 44.
            file.comment = comment
    with atomic_write(path) as temporary:
        temporary.write_bytes(content.getvalue())


def read_comment(path: Path | str) -> str:
    """Return the comment in an audio file; empty where there is none, or the file is no audio."""
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            return file.comment
    except (soundfile.LibsndfileError, TypeError):
        return ""

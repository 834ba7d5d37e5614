"""Fidelity of one resynthesized signal: every metric of two signals at 16 kHz, and what it is.

`PESQ` is named with its band: narrow (P.862.1) and wide band (P.862.2) are different scales.
"""

import dataclasses
import functools
import importlib.metadata
import math
import warnings
from collections.abc import Callable, Collection, Mapping

import fast_bss_eval
import numpy as np
from pesq import PesqError, pesq
from pystoi import stoi
from typeguard import typechecked

from espnet_stacodec.errors import DataError
from espnet_stacodec.evaluation import learned, pitch, spectral
from espnet_stacodec.evaluation.families import PACKAGES, choose_families

SAMPLE_RATE = 16000
SI_SDR_LIMIT_DB = 100
# The package keeps room for 50 stretches of speech, and writes over its memory where pauses make
# more: it ends the process, or gives a wrong score. No corpus here has longer utterances.
LONGEST_PESQ_SECONDS = 40


@dataclasses.dataclass(frozen=True)
class Metric:
    """How a metric is shown.

    Attributes:
        title: Heading, with its unit.
        digits: After the point.
        higher_is_better: Whether larger values are better; None where it only describes.
    """

    title: str
    digits: int
    higher_is_better: bool | None = True


@dataclasses.dataclass(frozen=True)
class Family:
    """Metrics that are computed together.

    Attributes:
        compute: Returns the values of `metrics` by key, of reference and estimate (N,).
        metrics: By key.
    """

    compute: Callable[[np.ndarray, np.ndarray], Mapping[str, float]]
    metrics: Mapping[str, Metric]


def pesq_wb(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Return wide-band PESQ (ITU-T P.862.2, MOS-LQO 1.04 to 4.64) of (N,) signals at 16 kHz.

    NaN where PESQ finds no speech in the reference, or the signal is too short for it or longer
    than 40 s.
    """
    return _pesq(reference, estimate, "wb")


def pesq_nb(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Return narrow-band PESQ (ITU-T P.862.1, MOS-LQO 1.02 to 4.55) of (N,) signals at 16 kHz."""
    return _pesq(reference, estimate, "nb")


def _pesq(reference: np.ndarray, estimate: np.ndarray, band: str) -> float:
    if len(reference) > LONGEST_PESQ_SECONDS * SAMPLE_RATE:
        return math.nan
    score = pesq(SAMPLE_RATE, reference, estimate, band, on_error=PesqError.RETURN_VALUES)
    return float(score) if score >= 0 else math.nan


def stoi_score(reference: np.ndarray, estimate: np.ndarray, extended: bool = False) -> float:
    """Return short-time objective intelligibility (0 to 1) of (N,) signals at 16 kHz.

    NaN where fewer than 30 frames (0.4 s) of the reference are not silent.

    Args:
        reference: (N,) signal.
        estimate: (N,) signal.
        extended: Whether it is ESTOI, which correlates whole spectra and can be negative.
    """
    if is_silent(reference):
        return math.nan
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Not enough STFT frames")
        try:
            # The extended one adds noise of 1e-16, which would make it another with each call.
            return round(float(stoi(reference, estimate, SAMPLE_RATE, extended=extended)), 9)
        except RuntimeWarning:
            return math.nan


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Return the scale-invariant signal-to-distortion ratio (dB) of (N,) signals, at most 100.

    NaN where one of them is silent.
    """
    if is_silent(reference) or is_silent(estimate):
        return math.nan
    # Without a limit the library fails where rounding, another one with each BLAS, leaves no
    # distortion at all.
    signals = (signal[None].astype(np.float64) for signal in (reference, estimate))
    return float(fast_bss_eval.si_sdr(*signals, zero_mean=True, clamp_db=SI_SDR_LIMIT_DB)[0])


def is_silent(signal: np.ndarray) -> bool:
    """Whether all samples are the same."""
    return np.ptp(signal) == 0


FAMILIES: dict[str, Family] = {
    "pesq": Family(
        lambda reference, estimate: {
            "pesq_wb": pesq_wb(reference, estimate),
            "pesq_nb": pesq_nb(reference, estimate),
        },
        {"pesq_wb": Metric("PESQ-WB", 2), "pesq_nb": Metric("PESQ-NB", 2)},
    ),
    "stoi": Family(
        lambda reference, estimate: {
            "stoi": stoi_score(reference, estimate),
            "estoi": stoi_score(reference, estimate, extended=True),
        },
        {"stoi": Metric("STOI", 3), "estoi": Metric("ESTOI", 3)},
    ),
    "si_sdr": Family(
        lambda reference, estimate: {"si_sdr": si_sdr(reference, estimate)},
        {"si_sdr": Metric("SI-SDR (dB)", 2)},
    ),
    "spectral": Family(
        spectral.distances,
        {
            "mel_distance": Metric("mel distance", 3, False),
            "stft_distance": Metric("STFT distance", 3, False),
        },
    ),
    "f0": Family(
        pitch.compare_f0,
        {
            "f0_correlation": Metric("F0 correlation", 3),
            "f0_rmse_cents": Metric("F0 RMSE (cents)", 0, False),
            "vuv_error": Metric("voicing error (%)", 1, False),
        },
    ),
    "speaker": Family(
        learned.speaker_similarity,
        {"speaker_similarity": Metric("speaker similarity", 3)},
    ),
    "dnsmos": Family(
        learned.dnsmos,
        {
            "dnsmos": Metric("DNSMOS", 2),
            "dnsmos_original": Metric("DNSMOS of the originals", 2, None),
        },
    ),
}
METRICS: dict[str, Metric] = {
    key: metric for family in FAMILIES.values() for key, metric in family.metrics.items()
}


@typechecked
def score(
    reference: np.ndarray, estimate: np.ndarray, families: Collection[str] | None = None
) -> dict[str, float]:
    """Return the metrics of two (N,) float signals at 16 kHz by key; NaN where one is undefined.

    Args:
        reference: The original.
        estimate: Its resynthesis.
        families: Keys of `FAMILIES`; all that are installed if None.

    Raises:
        DataError: If the lengths differ.
    """
    if reference.shape != estimate.shape or reference.ndim != 1:
        raise DataError(
            f"Signals of shapes {reference.shape} and {estimate.shape} cannot be compared;"
            " resynthesized audio must have the length of its original."
        )
    names = choose_families(None) if families is None else families
    scores: dict[str, float] = {}
    for name in names:
        scores |= FAMILIES[name].compute(reference, estimate)
    return scores


@functools.cache
def versions(families: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of the packages that compute families of metrics."""
    packages = {"pesq", "pystoi", "fast-bss-eval", "torchaudio"}
    packages |= {package for name in families if (package := PACKAGES[name])}
    return {name: importlib.metadata.version(name) for name in sorted(packages)}

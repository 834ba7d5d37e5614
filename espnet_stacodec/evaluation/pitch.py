"""Fundamental frequency (F0) and voicing of speech, and how far a resynthesis keeps them."""

import math

import numpy as np

SAMPLE_RATE = 16000
FRAME_MS = 5.0
FEWEST_FRAMES = 10  # voiced in both signals; fewer (50 ms) say nothing
CENTS_PER_OCTAVE = 1200


def track_f0(signal: np.ndarray) -> np.ndarray:
    """Return the F0 (Hz) of a (N,) signal at 16 kHz every 5 ms, 0 where it is not voiced.

    WORLD's DIO and StoneMask, with their defaults: 71 to 800 Hz.
    """
    import pyworld

    samples = np.ascontiguousarray(signal, dtype=np.float64)
    coarse, times = pyworld.dio(samples, SAMPLE_RATE, frame_period=FRAME_MS)
    return pyworld.stonemask(samples, coarse, times, SAMPLE_RATE)


def compare_f0(reference: np.ndarray, estimate: np.ndarray) -> dict[str, float]:
    """Return how the F0 of two (N,) signals at 16 kHz agrees.

    f0_correlation: Pearson's, over frames that are voiced in both.
    f0_rmse_cents: root of the mean squared difference over these frames, in cents (1200 an octave).
    vuv_error: share (%) of all frames that are voiced in one signal only.
    The first two are NaN with fewer than ten such frames, all where the reference is never voiced.
    """
    one, other = track_f0(reference), track_f0(estimate)
    voiced = (one > 0) & (other > 0)
    scores = {
        "f0_correlation": math.nan,
        "f0_rmse_cents": math.nan,
        "vuv_error": math.nan,
    }
    if not (one > 0).any():
        return scores
    scores["vuv_error"] = 100 * float(((one > 0) != (other > 0)).mean())
    if voiced.sum() < FEWEST_FRAMES:
        return scores
    one, other = one[voiced], other[voiced]
    cents = CENTS_PER_OCTAVE * np.log2(other / one)
    scores["f0_rmse_cents"] = float(np.sqrt(np.mean(cents**2)))
    if np.ptp(one) > 0 and np.ptp(other) > 0:  # a correlation with a constant is not defined
        scores["f0_correlation"] = float(np.corrcoef(one, other)[0, 1])
    return scores

"""F0: tones whose frequency is known."""

import math

import numpy as np
import pytest

pytest.importorskip("pyworld")
from espnet_stacodec.evaluation.pitch import compare_f0, track_f0


def voice(f0: np.ndarray | float, seconds: float = 1.5) -> np.ndarray:
    """Return a buzz (N,) at 16 kHz with this F0 (Hz)."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(f0, int(seconds * 16000))) / 16000
    waves = [np.sin(h * phase) / h for h in range(1, 15)]
    return (0.1 * np.sum(waves, axis=0)).astype(np.float32)


def melody(cents: float = 0.0) -> np.ndarray:
    time = np.arange(24000) / 16000
    return voice((150 + 30 * np.sin(2 * np.pi * time)) * 2 ** (cents / 1200))


def test_the_f0_of_a_buzz():
    f0 = track_f0(voice(200.0))
    assert np.median(f0[f0 > 0]) == pytest.approx(200, rel=0.01)
    assert (f0 > 0).mean() > 0.9


@pytest.mark.parametrize("gain", [1, -1, 0.1])
def test_identical_inverted_and_quieter_signals_agree(gain):
    one = melody()
    scores = compare_f0(one, np.float32(gain) * one)
    assert scores["f0_correlation"] == pytest.approx(1, abs=1e-3)
    assert scores["f0_rmse_cents"] < 5 and scores["vuv_error"] < 2


def test_a_semitone_is_a_hundred_cents():
    scores = compare_f0(melody(), melody(cents=100))
    assert scores["f0_rmse_cents"] == pytest.approx(100, abs=5)
    assert scores["f0_correlation"] > 0.99


def test_half_of_it_without_voice():
    one = melody()
    other = one.copy()
    other[len(other) // 2 :] = 0
    scores = compare_f0(one, other)
    assert scores["vuv_error"] == pytest.approx(50, abs=5)
    assert scores["f0_rmse_cents"] < 20


def test_what_is_not_defined():
    silence, noise = np.zeros(16000, np.float32), melody()[:16000]
    assert all(math.isnan(value) for value in compare_f0(silence, noise).values())
    scores = compare_f0(noise, silence)
    assert scores["vuv_error"] > 90 and math.isnan(scores["f0_correlation"])
    flat = compare_f0(voice(200.0), voice(200.0))
    assert flat["f0_rmse_cents"] == 0

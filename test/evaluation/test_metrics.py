"""Metrics: identical signals, worse ones, and where they are not defined."""

import math

import numpy as np
import pytest

from espnet_stacodec.errors import DataError
from espnet_stacodec.evaluation import metrics


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Two seconds that PESQ takes for speech: a buzz whose loudness comes and goes."""
    time = np.arange(32000) / 16000
    buzz = sum(np.sin(2 * np.pi * 130 * h * time) / h for h in range(1, 20))
    return (0.1 * buzz * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * time))).astype(np.float32)


def noisy(speech: np.ndarray, level: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(len(speech))
    return (speech + level * noise).astype(np.float32)


def test_identical_signals_have_the_best_scores(speech):
    scores = metrics.score(speech, speech)
    assert scores["pesq"] == pytest.approx(4.64, abs=0.01)
    assert scores["stoi"] == pytest.approx(1.0, abs=1e-4)
    assert scores["si_sdr"] == metrics.si_sdr(speech, speech / 2) == pytest.approx(100)
    assert scores["mel_distance"] == 0


def test_more_noise_is_worse_by_every_metric(speech):
    little, much = (metrics.score(speech, noisy(speech, level)) for level in (0.003, 0.1))
    for name, better in (("pesq", 1), ("stoi", 1), ("si_sdr", 1), ("mel_distance", -1)):
        assert better * (little[name] - much[name]) > 0, name
    assert all(math.isfinite(value) for value in (*little.values(), *much.values()))


def test_si_sdr_worked_by_hand():
    reference = np.array([1.0, -1.0, 1.0, -1.0])
    error = np.array([0.1, 0.1, -0.1, -0.1])  # orthogonal to it, a hundredth of its power
    assert metrics.si_sdr(reference, 3 * (reference + error)) == pytest.approx(20.0)
    assert metrics.si_sdr(reference, reference + error + 5) == pytest.approx(20.0)


def test_mel_distance_of_ten_times_the_level_is_one(speech):
    noise = noisy(np.zeros(8000, np.float32), 0.1)
    assert metrics.mel_distance(noise, 10 * noise) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("one", "other"), [((100,), (101,)), ((2, 100), (2, 100)), ((1, 100), (100,))]
)
def test_signals_of_other_shapes_cannot_be_compared(one, other):
    with pytest.raises(DataError, match="cannot be compared"):
        metrics.score(np.ones(one), np.ones(other))


def test_silence_and_short_signals_are_not_defined(speech):
    silence = np.zeros(32000, np.float32)
    for reference, estimate in ((silence, silence), (silence, speech)):
        scores = metrics.score(reference, estimate)
        assert all(math.isnan(scores[name]) for name in ("pesq", "stoi", "si_sdr")), scores
    short = metrics.score(speech[8000:9000], speech[8000:9000])
    assert math.isnan(short["pesq"]) and math.isnan(short["stoi"])
    assert short["mel_distance"] == 0


def test_a_silent_estimate_is_bad_not_undefined_or_an_error(speech):
    scores = metrics.score(speech, np.zeros_like(speech))
    assert not scores["pesq"] > 2 and not scores["stoi"] > 0.5
    assert scores["mel_distance"] > 0.5

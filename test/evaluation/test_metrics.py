"""Metrics: identical signals, worse ones, and where they are not defined."""

import importlib.util
import math

import numpy as np
import pytest

from espnet_stacodec.errors import ConfigError, DataError
from espnet_stacodec.evaluation import metrics
from espnet_stacodec.evaluation.families import PACKAGES, choose_families


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Two seconds that PESQ takes for speech: a buzz whose loudness comes and goes."""
    time = np.arange(32000) / 16000
    buzz = sum(np.sin(2 * np.pi * 130 * h * time) / h for h in range(1, 20))
    return (0.1 * buzz * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * time))).astype(np.float32)


BETTER = (
    *(("pesq_wb", 1), ("pesq_nb", 1), ("stoi", 1), ("si_sdr", 1)),
    *(("mel_distance", -1), ("stft_distance", -1)),
)
FAMILIES = ["pesq", "stoi", "si_sdr", "spectral"]


def score(reference: np.ndarray, estimate: np.ndarray) -> dict[str, float]:
    return metrics.score(reference, estimate, FAMILIES)


def noisy(speech: np.ndarray, level: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(len(speech))
    return (speech + level * noise).astype(np.float32)


def test_identical_signals_have_the_best_scores(speech):
    scores = score(speech, speech)
    assert scores["pesq_wb"] == pytest.approx(4.64, abs=0.01)
    assert scores["stoi"] == pytest.approx(1.0, abs=1e-4)
    assert scores["si_sdr"] == metrics.si_sdr(speech, speech / 2) == pytest.approx(100)
    assert scores["mel_distance"] == 0


def test_the_values_are_those_of_the_packages(speech):
    """PESQ in both bands, STOI, ESTOI and SI-SDR, called directly."""
    import fast_bss_eval
    from pesq import pesq
    from pystoi import stoi

    estimate = noisy(speech, 0.02)
    scores = score(speech, estimate)
    assert scores["pesq_wb"] == pytest.approx(pesq(16000, speech, estimate, "wb"))
    assert scores["pesq_nb"] == pytest.approx(pesq(16000, speech, estimate, "nb"))
    assert scores["stoi"] == pytest.approx(stoi(speech, estimate, 16000))
    assert scores["estoi"] == pytest.approx(stoi(speech, estimate, 16000, extended=True))
    direct = fast_bss_eval.si_sdr(speech[None], estimate[None], zero_mean=True)
    assert scores["si_sdr"] == pytest.approx(float(direct[0]), abs=1e-3)


def test_shifted_inverted_and_scaled_signals(speech):
    """What each metric forgives, as it should."""
    scores = {
        "inverted": score(speech, -speech),
        "half": score(speech, speech / 2),
        "shifted": score(speech[:-160], speech[160:]),  # by 10 ms
    }
    for name in ("inverted", "half"):  # no metric but the distances hears a gain, none a sign
        assert scores[name]["si_sdr"] == pytest.approx(100)
        assert scores[name]["stoi"] == pytest.approx(1, abs=1e-4)
        assert scores[name]["pesq_wb"] == pytest.approx(4.64, abs=0.01)
    assert scores["inverted"]["mel_distance"] == pytest.approx(0, abs=1e-6)
    assert scores["shifted"]["si_sdr"] < 10  # its waveform is another one
    assert scores["shifted"]["pesq_wb"] > 3  # PESQ aligns the signals
    assert scores["shifted"]["mel_distance"] < scores["half"]["mel_distance"]


def test_families_that_are_not_there():
    with pytest.raises(ConfigError, match="--metrics: 'speed' is unknown; known are pesq, stoi"):
        choose_families(["speed"])
    assert choose_families(["stoi", "pesq", "stoi"]) == ["stoi", "pesq"]
    assert list(PACKAGES) == list(metrics.FAMILIES)


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert choose_families(None) == FAMILIES
    with pytest.raises(ConfigError, match=r"speaker needs the package resemblyzer.*\[scores\]"):
        choose_families(["speaker"])


def test_more_noise_is_worse_by_every_metric(speech):
    little, much = (score(speech, noisy(speech, level)) for level in (0.003, 0.1))
    for name, better in BETTER:
        assert better * (little[name] - much[name]) > 0, name
    assert all(math.isfinite(value) for value in (*little.values(), *much.values()))


def test_si_sdr_worked_by_hand():
    reference = np.array([1.0, -1.0, 1.0, -1.0])
    error = np.array([0.1, 0.1, -0.1, -0.1])  # orthogonal to it, a hundredth of its power
    assert metrics.si_sdr(reference, 3 * (reference + error)) == pytest.approx(20.0)
    assert metrics.si_sdr(reference, reference + error + 5) == pytest.approx(20.0)


def test_mel_distance_of_ten_times_the_level_is_one(speech):
    noise = noisy(np.zeros(8000, np.float32), 0.1)
    scores = score(noise, 10 * noise)
    assert scores["mel_distance"] == pytest.approx(1.0, abs=1e-3)
    assert scores["stft_distance"] == pytest.approx(1.0, abs=1e-2)


@pytest.mark.parametrize(
    ("one", "other"), [((100,), (101,)), ((2, 100), (2, 100)), ((1, 100), (100,))]
)
def test_signals_of_other_shapes_cannot_be_compared(one, other):
    with pytest.raises(DataError, match="cannot be compared"):
        metrics.score(np.ones(one), np.ones(other))


def test_silence_and_short_signals_are_not_defined(speech):
    silence = np.zeros(32000, np.float32)
    for reference, estimate in ((silence, silence), (silence, speech)):
        scores = score(reference, estimate)
        assert all(math.isnan(scores[name]) for name in ("pesq_wb", "pesq_nb", "stoi", "si_sdr")), (
            scores
        )
    short = score(speech[8000:9000], speech[8000:9000])
    assert math.isnan(short["pesq_wb"]) and math.isnan(short["stoi"])
    assert short["mel_distance"] == 0


def test_pesq_is_not_asked_for_long_signals(speech, monkeypatch):
    """From 51 stretches of speech on its memory overflows."""
    longest = np.tile(speech, 20)
    assert metrics.pesq_wb(longest, longest) == pytest.approx(4.64, abs=0.01)
    monkeypatch.setattr(metrics, "pesq", lambda *args, **kwargs: pytest.fail("it was asked"))
    longer = np.tile(speech, 21)
    scores = metrics.score(longer, longer, ["pesq", "si_sdr"])
    assert math.isnan(scores["pesq_wb"]) and math.isnan(scores["pesq_nb"])
    assert scores["si_sdr"] == pytest.approx(100)


def test_a_silent_estimate_is_bad_not_undefined_or_an_error(speech):
    scores = score(speech, np.zeros_like(speech))
    assert not scores["pesq_wb"] > 2 and not scores["stoi"] > 0.5
    assert scores["mel_distance"] > 0.5

"""Networks of optional packages."""

import math

import numpy as np
import pytest

from espnet_stacodec.evaluation import learned


@pytest.fixture
def buzz() -> np.ndarray:
    """A second and a half of something like a voice."""
    time = np.arange(24000) / 16000
    tone = sum(np.sin(2 * np.pi * 130 * h * time) / h for h in range(1, 20))
    return (0.2 * tone * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * time))).astype(np.float32)


def test_speakers(buzz):
    pytest.importorskip("resemblyzer")
    same = learned.speaker_similarity(buzz, buzz)["speaker_similarity"]
    noise = np.random.default_rng(0).normal(0, 0.1, len(buzz)).astype(np.float32)
    other = learned.speaker_similarity(buzz, buzz + noise)["speaker_similarity"]
    assert same == pytest.approx(1, abs=1e-5) and other < 0.99
    silent = learned.speaker_similarity(buzz, np.zeros_like(buzz))["speaker_similarity"]
    assert math.isnan(silent)


def test_dnsmos_is_what_the_package_says(buzz):
    package = pytest.importorskip("speechmos.dnsmos")
    found = learned.dnsmos(buzz, 2 * buzz)
    assert found["dnsmos_original"] == pytest.approx(package.run(buzz, 16000)["ovrl_mos"], abs=1e-4)
    clipped = np.clip(2 * buzz, -1, 1)  # the package refuses what is louder
    assert found["dnsmos"] == pytest.approx(package.run(clipped, 16000)["ovrl_mos"], abs=1e-4)

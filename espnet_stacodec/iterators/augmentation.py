"""Random changes of the training audio: levels, microphones, lines and noise that it does not have.

A codec is to give back what it hears: the changed audio is both its input and its target. Semantic
tokens stay those of the clean audio, which is how a token predictor learns to be stable.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import fft

from espnet_stacodec.config import check_positive, check_range, check_types
from espnet_stacodec.errors import ConfigError

EQUALIZER_OCTAVES = 1.0  # between the frequencies whose gains are drawn
LOWEST_HZ = 62.5
STEEPNESS = 12  # order of the low-pass filter


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Gain for every utterance; an equalizer, a band limit and noise for a share of them each.

    Attributes:
        sample_rate: Hz.
        gain_db: Lowest and highest gain; what would clip gets as much as it can take.
        equalizer_share: Share of utterances whose spectrum is bent, octave by octave.
        equalizer_db: Largest gain of an octave, up or down.
        band_share: Share of utterances that lose what lies above a frequency.
        band_hz: Lowest and highest such frequency.
        noise_share: Share of utterances with noise, whose spectrum falls with up to f^-2.
        snr_db: Lowest and highest ratio of speech to noise.

    Raises:
        ConfigError: If a value is of another type or out of its range.
    """

    sample_rate: int
    gain_db: Sequence[float] = (0.0, 0.0)
    equalizer_share: float = 0.0
    equalizer_db: float = 6.0
    band_share: float = 0.0
    band_hz: Sequence[float] = (3400.0, 7000.0)
    noise_share: float = 0.0
    snr_db: Sequence[float] = (10.0, 40.0)

    def __post_init__(self) -> None:
        where = "augmentation_conf"
        check_types(self, where)
        for name in ("equalizer_share", "band_share", "noise_share"):
            check_range(where, 0, 1, **{name: getattr(self, name)})
        check_range(where, 0, equalizer_db=self.equalizer_db)
        for hz in self.band_hz:
            check_positive(where, band_hz=hz)
        for name in ("gain_db", "band_hz", "snr_db"):
            ends = getattr(self, name)
            if len(ends) != 2 or not -math.inf < ends[0] <= ends[1] < math.inf:
                raise ConfigError(
                    f"{where}: {name} {list(getattr(self, name))} is not a lowest and a highest"
                    " number."
                )

    def __call__(self, audio: np.ndarray, random: Any) -> np.ndarray:
        """Return changed audio of the same shape and type.

        Args:
            audio: (N,) samples in -1..1.
            random: numpy's `random` or a `RandomState`.
        """
        if not len(audio):
            return audio
        changed = self._filtered(audio, random)
        if random.uniform() < self.noise_share:
            changed = changed + self._noise(changed, random)
        gain = 10 ** (random.uniform(*self.gain_db) / 20)
        peak = np.abs(changed).max(initial=0.0) * gain
        return (changed * (gain / max(peak, 1.0))).astype(audio.dtype)

    def _filtered(self, audio: np.ndarray, random: Any) -> np.ndarray:
        """Return audio (N,) with its spectrum bent and limited, or as it is."""
        bends = random.uniform() < self.equalizer_share
        limits = random.uniform() < self.band_share
        if not (bends or limits):
            return audio
        # The transform of a length with a large prime factor takes many times as long.
        size = fft.next_fast_len(len(audio), real=True)
        frequencies = fft.rfftfreq(size, 1 / self.sample_rate)
        gains = np.ones(len(frequencies))
        if bends:
            octaves = np.log2(np.maximum(frequencies, LOWEST_HZ) / LOWEST_HZ)
            points = np.arange(0, octaves[-1] + EQUALIZER_OCTAVES, EQUALIZER_OCTAVES)
            decibels = random.uniform(-self.equalizer_db, self.equalizer_db, len(points))
            gains *= 10 ** (np.interp(octaves, points, decibels) / 20)
        if limits:
            highest = random.uniform(*self.band_hz)
            gains /= np.sqrt(1 + (frequencies / highest) ** (2 * STEEPNESS))
        return fft.irfft(fft.rfft(audio, size) * gains, size)[: len(audio)]

    def _noise(self, audio: np.ndarray, random: Any) -> np.ndarray:
        """Return noise (N,) at a random level below that of audio (N,)."""
        size = fft.next_fast_len(len(audio), real=True)
        spectrum = fft.rfft(random.standard_normal(size))
        exponent = random.uniform(0, 2) / 2  # of amplitudes
        spectrum /= np.maximum(np.arange(len(spectrum)), 1) ** exponent
        noise = fft.irfft(spectrum, size)[: len(audio)]
        level = np.sqrt(np.mean(np.square(audio, dtype=np.float64)))
        ratio = 10 ** (random.uniform(*self.snr_db) / 20)
        return noise * (level / ratio / max(np.sqrt(np.mean(noise**2)), 1e-12))

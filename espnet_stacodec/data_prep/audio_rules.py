"""Limits beyond which audio of a corpus is rejected, and its target format."""

import dataclasses
import math

import numpy as np

from espnet_stacodec.data_prep.sources import OpenAudio, Part, Rejected
from espnet_stacodec.errors import ConfigError
from espnet_stacodec.fileio.audio import HIGHEST_PEAK

SLOWEST, FASTEST = 0.5, 2.0


@dataclasses.dataclass(frozen=True)
class AudioRules:
    """Target format of audio, and the limits beyond which it is rejected.

    Attributes:
        sample_rate: Of the files that are written (Hz).
        min_seconds: Shorter audio is rejected.
        max_seconds: Longer audio is rejected. LibriSpeech's longest, in its test sets, is 35 s.
        silence_db: Audio whose peak is below this level is rejected (dB, full scale is 0).
        loud_peak: Audio whose peak is above this is rejected (full scale is 1): such a file holds
            integers as floating point numbers, or is broken.
        speed: How many times as fast the audio becomes, and as high.
    """

    sample_rate: int = 16000
    min_seconds: float = 0.1
    max_seconds: float = 40.0
    silence_db: float = -60.0
    loud_peak: float = HIGHEST_PEAK
    speed: float = 1.0

    def __post_init__(self) -> None:
        if self.sample_rate < 1:
            raise ConfigError(f"The sample rate must be positive, got {self.sample_rate} Hz.")
        if not 0 < self.min_seconds <= self.max_seconds:
            raise ConfigError(
                f"Durations from {self.min_seconds} to {self.max_seconds} s hold no audio;"
                " min_seconds must be above 0 and not above max_seconds."
            )
        if not SLOWEST <= self.speed <= FASTEST:
            raise ConfigError(f"A speed of {self.speed:g} is outside {SLOWEST}..{FASTEST}.")

    def read(self, audio: OpenAudio, part: Part) -> np.ndarray:
        """Return a part of a recording, (N,) float32 at its own rate: the mean of its channels.

        Raises:
            Rejected: If it is outside the limits, broken, silent or loud.
        """
        start, stop = audio.span(part)
        seconds = (stop - start) / audio.rate
        # Known from the header: hours of audio are rejected without being read.
        if seconds < self.min_seconds:
            raise Rejected(f"short: {seconds:.3f} s, at least {self.min_seconds} s are needed")
        if seconds > self.max_seconds:
            raise Rejected(f"long: {seconds:.1f} s, at most {self.max_seconds} s are taken")
        wave = audio.read(start, stop).mean(axis=1)
        if len(wave) != stop - start:
            raise Rejected(f"broken: {len(wave)} of {stop - start} samples can be decoded")
        if not np.isfinite(wave).all():
            raise Rejected("broken: it has samples that are not finite numbers")
        peak = float(np.abs(wave).max())
        peak_db = 20 * math.log10(peak) if peak > 0 else -math.inf
        if peak_db < self.silence_db:
            raise Rejected(f"silent: its peak is {peak_db:.1f} dB, below {self.silence_db} dB")
        if peak > self.loud_peak:
            raise Rejected(
                f"loud: its peak is {peak:g} and full scale is 1; perhaps the file holds integers"
                " as floating point numbers"
            )
        return wave

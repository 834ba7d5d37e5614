"""Sounds that are made for distorted copies of speech: whispering, and music behind."""

import numpy as np
from scipy.signal import ShortTimeFFT, get_window

WINDOW_SECONDS = 0.032
ENVELOPE_SECONDS = 0.002  # of the cepstrum: shorter than the period of any voice
FLOOR = 1e-9
CHORD_SECONDS = 0.5
# Semitones above the key, as songs have them: I, V, vi, IV.
CHORDS = ((0, 4, 7, 12), (7, 11, 14, 19), (9, 12, 16, 21), (5, 9, 12, 17))
KEYS = range(48, 60)  # MIDI notes: an octave below middle C
PARTIALS = 6
DECAY_SECONDS = 0.25


def whispered(wave: np.ndarray, rate: int, generator: np.random.Generator) -> np.ndarray:
    """Return speech as its spectral envelope shapes noise: nothing of its pitch is left.

    Args:
        wave: (N,) at `rate` Hz; what is returned has its length, but not its loudness.
        rate: Hz.
        generator: Makes the noise.
    """
    size = 2 * round(WINDOW_SECONDS * rate / 2)
    frames = ShortTimeFFT(get_window("hann", size), hop=size // 4, fs=rate)
    padded = np.pad(wave, (0, max(0, size - len(wave))))
    cepstrum = np.fft.irfft(np.log(np.abs(frames.stft(padded)) + FLOOR), axis=0)
    kept = round(ENVELOPE_SECONDS * rate)
    cepstrum[kept : size - kept + 1] = 0
    envelope = np.exp(np.fft.rfft(cepstrum, axis=0).real)
    noise = frames.stft(generator.standard_normal(len(padded)))
    return frames.istft(envelope * noise, k1=len(padded))[: len(wave)]


def music(num_samples: int, rate: int, generator: np.random.Generator) -> np.ndarray:
    """Return (num_samples,) of plucked chords, two a second, in a random key.

    Args:
        num_samples: At `rate` Hz.
        rate: Hz.
        generator: Chooses the key and the phases.
    """
    length = round(CHORD_SECONDS * rate)
    time = np.arange(length) / rate
    key = int(generator.choice(KEYS))
    chords = []
    for index in range(-(-num_samples // length)):
        chord = np.zeros(length)
        for note in CHORDS[index % len(CHORDS)]:
            pitch = 440 * 2 ** ((key + note - 69) / 12)
            for partial in range(1, PARTIALS + 1):
                phase = generator.uniform(0, 2 * np.pi)
                chord += np.sin(2 * np.pi * partial * pitch * time + phase) / partial
        chords.append(chord * np.exp(-time / DECAY_SECONDS))
    return np.concatenate([np.zeros(0), *chords])[:num_samples]

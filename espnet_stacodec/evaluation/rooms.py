"""Impulse responses of rooms by image sources (Allen and Berkley, JASA 1979)."""

import functools
import math

import numpy as np
from scipy.signal import fftconvolve

SPEED_OF_SOUND = 343.0  # m/s
# Of the sinc that places an echo between samples: 4 ms, as in Allen and Berkley's successors.
SINC_SECONDS = 0.004
BISECTIONS = 14
ROOM = (6.0, 5.0, 3.0)  # m
TALKER = (2.0, 3.1, 1.6)
MICROPHONE = (4.3, 1.7, 1.2)


@functools.lru_cache(maxsize=8)
def room_response(
    rate: int,
    rt60: float,
    room: tuple[float, float, float] = ROOM,
    talker: tuple[float, float, float] = TALKER,
    microphone: tuple[float, float, float] = MICROPHONE,
) -> np.ndarray:
    """Return the response (M,) from talker to microphone; the direct sound is 1 at sample 0.

    Args:
        rate: Hz.
        rt60: Seconds in which the sound falls by 60 dB, as its fall from -5 to -25 dB tells. The
            walls' reflection is found that gives it: Sabine's and Eyring's formulas take all
            directions for equally frequent, and are off by half in such a room.
        room: Length, width, height (m).
        talker: Where in it (m).
        microphone: Where in it (m).
    """
    reach = SPEED_OF_SOUND * rt60  # what is farther arrives below -60 dB
    axes = [_images(*axis, reach) for axis in zip(room, talker, microphone, strict=True)]
    distance = np.sqrt(
        axes[0][0][:, None, None] ** 2
        + axes[1][0][None, :, None] ** 2
        + axes[2][0][None, None, :] ** 2
    )
    bounces = axes[0][1][:, None, None] + axes[1][1][None, :, None] + axes[2][1][None, None, :]
    near = distance <= reach
    order = np.argsort(distance[near])
    distance, bounces = distance[near][order], bounces[near][order]
    direct = distance[0]
    # Negative, as Lehmann and Johansson (JASA 2008) have it: echoes of one sign would add up to a
    # rumble that no room has.
    gain = (-_reflection(distance, bounces, rt60)) ** bounces / distance
    delays = (distance - direct) * rate / SPEED_OF_SOUND
    return _place(delays, gain * direct, int(rt60 * rate), int(SINC_SECONDS * rate / 2))


def _reflection(distance: np.ndarray, bounces: np.ndarray, rt60: float) -> float:
    """Return how much of a sound's amplitude walls reflect, of images in order of distance."""
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        energy = middle ** (2 * bounces) / distance**2
        left = 10 * np.log10(np.cumsum(energy[::-1])[::-1] / energy.sum())
        start, end = (distance[(left < db).argmax()] for db in (-5, -25))
        if 3 * (end - start) / SPEED_OF_SOUND < rt60:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _images(
    size: float, source: float, microphone: float, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances of the images along one axis, and how often each was reflected."""
    order = math.ceil(reach / (2 * size)) + 1
    n = np.arange(-order, order + 1)
    places = np.concatenate([2 * n * size + source, 2 * n * size - source])
    bounces = np.concatenate([np.abs(2 * n), np.abs(2 * n - 1)])
    return places - microphone, bounces


def _place(delays: np.ndarray, gains: np.ndarray, length: int, half: int) -> np.ndarray:
    """Return (length,) samples with an echo of each gain at each delay (samples, not whole)."""
    response = np.zeros(length + 2 * half + 1)
    whole = np.round(delays).astype(int)
    keep = whole < length
    whole, fraction, gains = whole[keep], (delays - np.round(delays))[keep], gains[keep]
    for offset in range(-half, half + 1):
        window = 0.5 * (1 + np.cos(np.pi * (offset - fraction) / (half + 1)))
        echoes = gains * np.sinc(offset - fraction) * window
        response += np.bincount(whole + half + offset, echoes, len(response))
    return response[half : half + length]


def reverberate(wave: np.ndarray, rate: int, rt60: float) -> np.ndarray:
    """Return a (N,) signal as a microphone in a room hears it, its direct sound unchanged."""
    return fftconvolve(wave, room_response(rate, rt60))[: len(wave)].astype(np.float32)

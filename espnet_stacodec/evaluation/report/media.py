"""Audio and images as they are embedded in a page."""

import base64
import functools
import io
import logging
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from matplotlib import image

from espnet_stacodec.fileio.audio import OPUS_RATES, at_rate, next_rate

MEL_BANDS, HOP_SECONDS = 80, 0.01
LOWEST_DB, HIGHEST_DB = -80.0, 0.0


class Coding(NamedTuple):
    """How libsndfile writes what a page embeds."""

    name: str
    container: str
    subtype: str
    mime: str
    compression: float | None = None


def _opus(kbps: float) -> Coding:
    """Return Opus of about so many kbit/s; libsndfile makes 256 to 6 of a level of 0 to 1."""
    return Coding(f"Opus, {kbps} kbit/s", "OGG", "OPUS", "audio/ogg", 1 - (kbps - 6) / 250)


# Exact while it fits, else Opus of what fits. No FLAC: Chromium cannot seek in the FLAC files of
# libsndfile, which have no seek table, where less than four seconds follow.
WAV = Coding("WAV", "WAV", "PCM_16", "audio/wav")
CODINGS = (WAV, _opus(80), _opus(40), _opus(20))
# Of a picture: noise in a spectrogram is most of an exact one's bytes.
WEBP_QUALITY = 60
MOST_COLUMNS = 2000  # more than a screen has; WebP has 16383


def data_uri(content: bytes, mime: str) -> str:
    """Return content as an address that holds it."""
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def encode_audio(wave: np.ndarray, rate: int, coding: Coding) -> bytes:
    """Return (N,) samples as the content of a file of one of the kinds above.

    Of a rate in Hz that it does not have, it is one of the next higher rate.
    """
    coded_rate = rate
    if coding is not WAV:
        coded_rate = next_rate(rate, OPUS_RATES)
        wave = at_rate(wave, rate, coded_rate)
    buffer = io.BytesIO()
    soundfile.write(
        buffer, np.clip(wave, -1, 1), coded_rate, format=coding.container, subtype=coding.subtype,
        compression_level=coding.compression,
    )  # fmt: skip
    return buffer.getvalue()


def embed_audio(
    waves: Mapping[str, np.ndarray], rate: int, max_bytes: int
) -> tuple[dict[str, str], str]:
    """Return audio as data URIs by name, and what it is coded as: the first that fits.

    Args:
        waves: (N,) samples.
        rate: Hz.
        max_bytes: Of all URIs together.
    """
    for coding in CODINGS:
        files = {name: encode_audio(wave, rate, coding) for name, wave in waves.items()}
        size = sum(map(len, files.values())) * 4 / 3
        if size < max_bytes:
            break
    else:
        logging.warning("the page's audio has %.0f MB, as there is so much of it.", size / 1e6)
    return {name: data_uri(file, coding.mime) for name, file in files.items()}, coding.name


@functools.cache
def _mel(rate: int) -> torch.nn.Module:
    from torchaudio.transforms import MelSpectrogram

    hop = round(rate * HOP_SECONDS)
    return MelSpectrogram(rate, n_fft=4 * hop, hop_length=hop, n_mels=MEL_BANDS, power=2)


def spectrogram(wave: np.ndarray, rate: int) -> np.ndarray:
    """Return the mel spectrogram (bands, frames) in dB of (N,) samples."""
    power = _mel(rate)(torch.as_tensor(wave, dtype=torch.float32))
    return (10 * power.clamp(min=1e-9).log10()).numpy()


def spectrogram_image(decibels: np.ndarray, loudest: float) -> str:
    """Return a spectrogram as the data URI of an image without axes, low frequencies below.

    Of more than `MOST_COLUMNS` frames each column is the mean of some.

    Args:
        decibels: (bands, frames).
        loudest: What is white: that of the original, so that versions can be compared.
    """
    if (frames := decibels.shape[1]) > MOST_COLUMNS:
        borders = np.linspace(0, frames, MOST_COLUMNS + 1).astype(int)
        decibels = np.add.reduceat(decibels, borders[:-1], axis=1) / np.diff(borders)
    buffer = io.BytesIO()
    image.imsave(
        buffer, decibels[::-1], vmin=loudest + LOWEST_DB, vmax=loudest, cmap="magma", format="webp",
        pil_kwargs={"quality": WEBP_QUALITY},
    )  # fmt: skip
    return data_uri(buffer.getvalue(), "image/webp")

"""Audio as it is passed between page and server: 16-bit mono samples, little-endian."""

import io

import numpy as np
import soundfile
import torch

from espnet_stacodec.demo.limits import HIGHEST_RATE_HZ, MAX_WHOLE_SECONDS
from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.audio import check_rate

SAMPLE = np.dtype("<i2")
FULL_SCALE = 2**15
BLOCK_FRAMES = 1 << 14
WHERE = "the recording"


def to_bytes(audio: torch.Tensor) -> bytes:
    """audio: (N,) floating point; clipped at full scale. Returns 2 N bytes."""
    scaled = (audio.cpu().numpy() * FULL_SCALE).round().clip(-FULL_SCALE, FULL_SCALE - 1)
    return scaled.astype(SAMPLE).tobytes()


def from_bytes(data: bytes) -> np.ndarray:
    """Return (N,) int16 samples.

    Raises:
        DataError: If they are no whole samples.
    """
    if len(data) % SAMPLE.itemsize:
        raise DataError(f"a piece of audio of {len(data)} bytes has no whole samples of 16 bits.")
    return np.frombuffer(data, SAMPLE).astype(np.int16)


def read_file(content: bytes) -> tuple[np.ndarray, int]:
    """Return ((N,) float32 samples, sampling rate in Hz) of an audio file, its channels averaged.

    Not more is decompressed than is kept: a few bytes can stand for hours.

    Raises:
        DataError: If it is no audio, or too long.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            rate = check_rate(file.samplerate, WHERE)
            if rate > HIGHEST_RATE_HZ:
                raise DataError(
                    f"{WHERE} has a sampling rate of {rate} Hz; at most {HIGHEST_RATE_HZ} Hz are"
                    " taken here."
                )
            return _read(file, rate * MAX_WHOLE_SECONDS), rate
    except (soundfile.LibsndfileError, TypeError) as error:
        # TypeError: what soundfile takes for headerless audio.
        raise DataError(
            "this file cannot be read as audio; give WAV, FLAC, Ogg, Opus, MP3 or AIFF."
        ) from error


def _read(file: soundfile.SoundFile, longest: int) -> np.ndarray:
    """Return (N,) samples, at most `longest`."""
    blocks = [np.zeros(0, np.float32)]
    done = 0
    while len(block := file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
        blocks.append(block.mean(axis=1))
        done += len(block)
        if done > longest:
            raise DataError(
                f"{WHERE} is longer than {MAX_WHOLE_SECONDS} s, the most that is taken here;"
                " encode long files with `stacodec encode`."
            )
    return np.concatenate(blocks)

"""Audio and tokens for a check of a device, where there is nothing but a codec."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torchaudio.transforms import MelSpectrogram

from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.audio import AUDIO_ENDINGS, read_audio, resample
from espnet_stacodec.frames import FrameRule
from espnet_stacodec.train.gan_steps import Batch

SAMPLE_RATE = 16000
NUM_TOKENS = 1000
MOST_SECONDS = 600  # of audio that is read


def read_waves(folder: Path | None, shortest: int) -> list[torch.Tensor]:
    """Return audio (N,) at 16 kHz of the files below a folder, or a minute of tones in noise.

    Args:
        folder: Where files are looked for; None for tones.
        shortest: Samples; shorter files are left out.

    Raises:
        DataError: If no file is long enough, or one cannot be read.
    """
    if folder is None:
        return [_tones(seed) for seed in range(6)]
    waves, samples = [], 0
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_ENDINGS):
        wave, rate = read_audio(path)
        if rate != SAMPLE_RATE:
            wave = resample(wave, rate, SAMPLE_RATE, str(path))
        if len(wave) < shortest:
            continue
        waves.append(torch.from_numpy(wave))
        samples += len(wave)
        if samples > MOST_SECONDS * SAMPLE_RATE:
            break
    if not waves:
        raise DataError(
            f"{folder}: no audio file of {shortest / SAMPLE_RATE:g} s or more in it; give a folder"
            " with some, or none to train on tones."
        )
    return waves


def _tones(seed: int) -> torch.Tensor:
    """Return 10 s (N,) of five harmonics that come and go, in noise."""
    generator = np.random.default_rng(seed)
    seconds = np.arange(10 * SAMPLE_RATE) / SAMPLE_RATE
    pitch = 120 + 15 * seed + 20 * np.sin(2 * np.pi * seconds / 3)
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    voice = sum(np.sin(k * phase) / k for k in range(1, 6))
    loudness = 0.5 - 0.5 * np.cos(2 * np.pi * 2.5 * seconds)
    wave = 0.15 * loudness * voice + 0.003 * generator.normal(size=len(seconds))
    return torch.from_numpy(wave.astype(np.float32))


class RandomTokens:
    """Tokens of audio: the nearest in direction, of some random ones, to each mel spectrum.

    Args:
        rule: The codec's frames.
    """

    def __init__(self, rule: FrameRule) -> None:
        self.rule = rule
        self.mel = MelSpectrogram(rule.sample_rate, 1024, hop_length=rule.hop_samples, n_mels=40)
        self.directions = torch.randn(40, NUM_TOKENS, generator=torch.Generator().manual_seed(0))

    def __call__(self, wave: torch.Tensor) -> torch.Tensor:
        """wave: (N,). Returns (T,) tokens, T = ceil(N / hop)."""
        spectra = (self.mel(wave) + 1e-5).log().T[: self.rule.num_frames(len(wave))]
        return ((spectra - spectra.mean(0)) @ self.directions).argmax(1)


def batches(
    waves: Sequence[torch.Tensor], rule: FrameRule, samples: int, batch_size: int, steps: int
) -> Iterator[Batch]:
    """Yield batches of random chunks of `samples` samples with their tokens."""
    generator = torch.Generator().manual_seed(0)
    tokens = RandomTokens(rule)
    of_waves = [tokens(wave) for wave in waves]
    hop, frames = rule.hop_samples, rule.num_frames(samples)
    for _ in range(steps):
        audio, semantic = [], []
        for index in torch.randint(len(waves), (batch_size,), generator=generator).tolist():
            last = len(waves[index]) // hop - frames
            start = int(torch.randint(last + 1, (), generator=generator))
            audio.append(waves[index][start * hop : start * hop + samples])
            semantic.append(of_waves[index][start : start + frames])
        ids = [f"chunk{i}" for i in range(batch_size)]
        yield ids, {"audio": torch.stack(audio), "semantic": torch.stack(semantic)}

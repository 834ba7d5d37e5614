"""Write a dozen files of tones, by six "speakers": audio where there is no speech."""

import sys
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000
SECONDS = 10


def main(folder: Path) -> None:
    """Write <speaker>-<take>.flac: notes of changing pitch and loudness, and a little noise."""
    rng = np.random.default_rng(0)
    for speaker in range(6):
        for take in range(2):
            notes = rng.uniform(80, 400, 40) * (1 + speaker / 3)
            loudness = rng.uniform(0.05, 0.4, 40)
            length = SECONDS * RATE // len(notes)
            phase = 2 * np.pi * np.cumsum(np.repeat(notes, length)) / RATE
            wave = np.repeat(loudness, length) * np.sin(phase)
            wave += 0.01 * rng.standard_normal(len(wave))
            soundfile.write(folder / f"speaker{speaker}-{take}.flac", wave, RATE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

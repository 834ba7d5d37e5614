"""Validation audio and its spectrograms for tensorboard."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

from espnet_stacodec.evaluation.report.media import LOWEST_DB, spectrogram

UTTERANCES = 3


def log_audio(
    folder: Path, pairs: Sequence[tuple[np.ndarray, np.ndarray]], rate: int, epoch: int
) -> None:
    """Write the first utterances of a validation for tensorboard.

    Args:
        folder: Where tensorboard looks for this training's validation.
        pairs: Originals and resynthesized audio, (N,) each.
        rate: Hz.
        epoch: Which this is.
    """
    from torch.utils.tensorboard import SummaryWriter  # only where it is asked for

    with SummaryWriter(str(folder)) as writer:
        for number, pair in enumerate(pairs[:UTTERANCES], 1):
            for name, wave in zip(("original", "resynthesized"), pair, strict=True):
                sound = np.clip(wave, -1, 1)[None]
                writer.add_audio(f"utterance_{number}/{name}", sound, epoch, rate)
            image = spectrograms(pair, rate)
            writer.add_image(f"utterance_{number}/spectrograms", image, epoch, dataformats="HWC")


def spectrograms(waves: Sequence[np.ndarray], rate: int) -> np.ndarray:
    """Return one image (height, frames, 3) in [0, 1]: mel spectrograms, the first one on top.

    The loudest of the first is white in all.
    """
    decibels = [spectrogram(wave, rate)[::-1] for wave in waves]
    loudest = decibels[0].max()
    shares = np.clip((np.concatenate(decibels) - loudest) / -LOWEST_DB + 1, 0, 1)
    return mpl.colormaps["magma"](shares)[..., :3]

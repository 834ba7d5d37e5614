"""Checkpoints that outlive a kill while they are written.

ESPnet writes checkpoint.pth in place, then the epoch's model. The last complete checkpoint is
therefore kept under another name before an epoch is saved, and taken back if that epoch did not
become complete.
"""

import logging
import zipfile
from pathlib import Path

import torch

CURRENT = "checkpoint.pth"
PREVIOUS = "checkpoint.previous.pth"


def keep_previous(output_dir: Path | str) -> None:
    """Keep the checkpoint of the last complete epoch under another name."""
    current = Path(output_dir) / CURRENT
    if current.exists():
        current.replace(current.with_name(PREVIOUS))


def recover(output_dir: Path | str) -> None:
    """Take the previous checkpoint back if the current one is not of a complete epoch.

    A cut-off checkpoint of the first epoch is removed: the training starts anew.
    """
    current, previous = Path(output_dir) / CURRENT, Path(output_dir) / PREVIOUS
    if previous.exists():
        if not _is_complete(current):
            logging.warning("%s was not written completely; going on from %s.", current, previous)
            previous.replace(current)
    elif current.exists() and not zipfile.is_zipfile(current):
        logging.warning("%s was not written completely; starting anew.", current)
        current.unlink()


def _is_complete(checkpoint: Path) -> bool:
    """Whether a checkpoint is whole and the epoch it names was saved as well."""
    # A zip archive's directory is its last part: what is cut off is not a zip file.
    if not zipfile.is_zipfile(checkpoint):
        return False
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model = checkpoint.with_name(f"{state['reporter']['epoch']}epoch.pth")
    return zipfile.is_zipfile(model) and checkpoint.with_name("latest.pth").resolve() == (
        model.resolve()
    )

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

    An incomplete one of the first epoch is removed: the training starts anew.
    """
    current, previous = Path(output_dir) / CURRENT, Path(output_dir) / PREVIOUS
    if previous.exists():
        if not _is_complete(current):
            logging.warning("%s was not written completely; going on from %s.", current, previous)
            previous.replace(current)
    elif current.exists() and not _is_whole(current):
        logging.warning("%s was not written completely; starting anew.", current)
        current.unlink()


def _is_complete(checkpoint: Path) -> bool:
    """Whether a checkpoint is whole and the epoch it names was saved as well."""
    # A zip archive's directory is its last part: what is cut off is not a zip file.
    if not zipfile.is_zipfile(checkpoint):
        return False
    model = checkpoint.with_name(f"{_epoch_of(checkpoint)}epoch.pth")
    return zipfile.is_zipfile(model) and checkpoint.with_name("latest.pth").resolve() == (
        model.resolve()
    )


def _is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint without one before it is whole, and, of the first epoch, its model."""
    if not zipfile.is_zipfile(checkpoint):
        return False
    latest = checkpoint.with_name("latest.pth")  # a link to the model; perhaps of a later epoch
    return _epoch_of(checkpoint) > 1 or (
        zipfile.is_zipfile(checkpoint.with_name("1epoch.pth"))
        and (latest.is_symlink() or latest.exists())
    )


def _epoch_of(checkpoint: Path) -> int:
    """Return the epoch that a whole checkpoint names."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    return state["reporter"]["epoch"]

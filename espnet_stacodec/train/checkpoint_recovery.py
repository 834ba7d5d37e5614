"""Checkpoints that outlive a kill while they are written.

ESPnet writes checkpoint.pth in place, then the epoch's model. The last complete checkpoint is
therefore kept under another name before an epoch is saved, and taken back if that epoch did not
become complete.
"""

import logging
import re
import zipfile
from pathlib import Path

from espnet2.torch_utils.safe_torch_load import safe_torch_load

from espnet_stacodec.errors import TrainingError

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

    Raises:
        TrainingError: If an incomplete one is of a later epoch, and there is none before it.
    """
    current, previous = Path(output_dir) / CURRENT, Path(output_dir) / PREVIOUS
    if previous.exists():
        if not _is_complete(current):
            logging.warning("%s was not written completely; going on from %s.", current, previous)
            previous.replace(current)
    elif current.exists() and not _is_whole(current):
        _refuse_to_lose_epochs(current)
        logging.warning("%s was not written completely; starting anew.", current)
        current.unlink()


def _refuse_to_lose_epochs(checkpoint: Path) -> None:
    """Raise TrainingError where starting anew would write over the weights of later epochs."""
    names = (re.fullmatch(r"(\d+)epoch\.pth", path.name) for path in checkpoint.parent.iterdir())
    newest = max((int(name[1]) for name in names if name), default=0)
    if newest > 1:
        raise TrainingError(
            f"{checkpoint}: it was not written completely, and there is none of an epoch before;"
            f" remove it to train anew, or begin another experiment with --init_param"
            f" {checkpoint.with_name(f'{newest}epoch.pth')}."
        )


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
    state = safe_torch_load(str(checkpoint), map_location="cpu", mmap=True)
    return state["reporter"]["epoch"]

"""Shared by the commands that train: what the machine does to a training, in one sentence."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from espnet_stacodec.errors import STACodecError, TrainingError

GOES_ON = "the training goes on after its last complete epoch."


@contextlib.contextmanager
def hindrances_in_one_sentence(output_dir: Path | str | None = None) -> Iterator[None]:
    """Raise TrainingError where audio cannot be read any more, or a checkpoint not be written.

    Also from what another process raised, which comes as another class with its traceback.

    Args:
        output_dir: The experiment, for the sentence.
    """
    try:
        yield
    except (STACodecError, OSError):
        raise
    except Exception as error:
        where = "" if output_dir is None else f"{output_dir}: "
        said = _text(error)
        if "LibsndfileError" in f"{type(error).__name__} {said}":
            reason = said.strip().split("\n")[-1]
            raise TrainingError(
                f"{where}audio of the training cannot be read any more ({reason}); run stage 2"
                f" again, then this: {GOES_ON}"
            ) from error
        # What the writer of checkpoints raises where a disk is full is no OSError.
        if "inline_container" not in said:
            raise
        raise TrainingError(
            f"{where}a checkpoint cannot be written; make room on the disk and run it again:"
            f" {GOES_ON}"
        ) from error


def _text(error: Exception) -> str:
    """Return the message of an error, also of one that torch has made with its traceback.

    soundfile's has the number of the reason there, and cannot say anything else.
    """
    try:
        return str(error)
    except TypeError:
        return " ".join(map(str, error.args))

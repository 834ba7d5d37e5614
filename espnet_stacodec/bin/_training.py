"""Shared by the commands that train: what the machine does to a training, in one sentence."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
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
        from espnet_stacodec.fileio.files import is_of_torchs_writer

        where = "" if output_dir is None else f"{output_dir}: "
        said = _text(error)
        if "LibsndfileError" in f"{type(error).__name__} {said}":
            reason = said.strip().split("\n")[-1]
            raise TrainingError(
                f"{where}audio of the training cannot be read any more ({reason}); run stage 2"
                f" again, then this: {GOES_ON}"
            ) from error
        # What the writer of checkpoints raises where a disk is full is no OSError.
        if not is_of_torchs_writer(said):
            raise
        raise TrainingError(
            f"{where}a checkpoint cannot be written; make room on the disk and run it again:"
            f" {GOES_ON}"
        ) from error


def run(main: Callable[[], None]) -> None:
    """Call a training's main function; a process that fails ends at once, without its threads.

    Those that write for tensorboard never end where the disk is full.
    """
    try:
        main()
    except SystemExit as end:
        if not end.code:
            raise
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)


def _text(error: Exception) -> str:
    """Return the message of an error, also of one that torch has made with its traceback.

    soundfile's has the number of the reason there, and cannot say anything else.
    """
    try:
        return str(error)
    except TypeError:
        return " ".join(map(str, error.args))

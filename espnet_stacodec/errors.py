"""Errors a user can meet, each raised with one sentence: what, where, the value, what to do.

STACodecError
├── ConfigError      an option or configuration key, or its value
├── DataError        audio, text, scp files, data directories
│    ├── LengthError    lengths that should agree and do not
│    └── TokenError     semantic tokens or codes of the wrong kind
├── ModelError       experiment folders, checkpoints, archives
├── StageError       a recipe stage that runs before its predecessor
└── TrainingError    a training that cannot go on
"""

import contextlib
import errno
import re
from collections.abc import Iterator

MAKE_ROOM = "; free some space and run it again"
CURES = {
    errno.ENOSPC: MAKE_ROOM,
    errno.EDQUOT: MAKE_ROOM,
    errno.EFBIG: MAKE_ROOM,
    errno.EROFS: "; write to another folder",
}
# How torch begins the message of what a data loader's process has raised.
FROM_LOADER = re.compile(r"Caught \w+ in DataLoader worker process")


class STACodecError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(STACodecError):
    """An option or configuration key is unknown, missing or has an unusable value."""


class DataError(STACodecError):
    """Audio, text, an scp file or a data directory is missing, unreadable or inconsistent."""


class LengthError(DataError):
    """Two lengths that should agree differ by more than the stated tolerance."""


class TokenError(DataError):
    """Semantic tokens or codes do not belong to this codec (range, count, fingerprint)."""


class ModelError(STACodecError):
    """An experiment folder, checkpoint or archive lacks something or cannot be read."""


class StageError(STACodecError):
    """A recipe stage was run before the stage that makes its input."""


class TrainingError(STACodecError):
    """A training has diverged, or one of its processes ended."""


@contextlib.contextmanager
def naming(where: object) -> Iterator[None]:
    """Put `where`, an utterance or a file, before the message of a DataError in the block."""
    try:
        yield
    except DataError as error:
        raise type(error)(f"{where}: {error}") from error


def in_one_sentence(error: BaseException) -> str:
    """Return the message of an error, without Python's notation for errors of files."""
    if not isinstance(error, OSError) or error.errno is None:
        text = str(error)
        if FROM_LOADER.match(text):  # its traceback; the message is the last line
            text = text.strip().split("\n")[-1].removeprefix(f"{type(error).__name__}: ")
        return " ".join(text.split())
    # Of a file that is moved, where to: it has the name that somebody gave.
    named = error.filename2 or error.filename
    where = f"{named}: " if named else ""
    return f"{where}{error.strerror}{CURES.get(error.errno, '')}."

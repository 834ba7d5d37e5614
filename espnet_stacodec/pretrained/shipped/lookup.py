"""The codecs that come with this package, by name.

Each is the folder of an experiment with the weights that encoding and decoding need: it works
without a network, a cache or an SSL model.
"""

import logging
from pathlib import Path

FOLDER = Path(__file__).parent
# What commands use that are given no model: for files, and for audio as it is spoken.
DEFAULT_NAME = "small"
STREAMING_NAME = "small_streaming"


def shipped_names() -> list[str]:
    """Return the names of the codecs that come with this package."""
    return sorted(p.name for p in FOLDER.iterdir() if p.is_dir() and p.name[0] not in "._")


def find_shipped(source: Path | str) -> Path | None:
    """Return the folder of a shipped codec; None where `source` is not the name of one.

    Args:
        source: What a user gives as a model. Only text is a name: `Path("small")` and "./small"
            are a folder of the user's.
    """
    if not isinstance(source, str) or source not in shipped_names():
        return None
    if Path(source).is_dir():
        logging.warning("%s: the shipped codec; the folder here is ./%s", source, source)
    return FOLDER / source


def shipped_list() -> str:
    """Return the names in words, for errors."""
    return f"shipped codecs: {', '.join(shipped_names()) or 'none'}"

"""Checkpoints that a library unpickles: which ones, and whether they are those that are wanted."""

import contextlib
import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from espnet_stacodec.errors import ConfigError

WEIGHT_ENDINGS = (".bin", ".json", ".pt", ".safetensors")


def model_files(folder: Path | str) -> dict[str, str]:
    """Return the places of the files of a model's folder that decide its output, by name."""
    files = (path for path in Path(folder).iterdir() if path.suffix in WEIGHT_ENDINGS)
    return {path.name: str(path) for path in files}


class Checkpoints:
    """Looks at each file that is given to `torch.load`, before it is read.

    Args:
        required: The sha256 that every file must have; None for any.
    """

    def __init__(self, required: str | None) -> None:
        self.required = required
        self.found: dict[str, str] = {}

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watch `torch.load` in the block: libraries tell nobody which of their files they load.

        Raises:
            ConfigError: In `torch.load`, for a file with another sha256 than the required one; at
                the end, if one is required and no file was loaded.
        """
        load = torch.load

        def checked(file: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(file, str | Path):
                self._check(Path(file))
            return load(file, *args, **kwargs)

        with mock.patch.object(torch, "load", checked):
            yield
        if self.required is not None and not self.found:
            raise ConfigError("sha256: this upstream loads no checkpoint; remove it.")

    def _check(self, path: Path) -> None:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if self.required not in (None, found):
            raise ConfigError(
                f"sha256: {path} has {found}, not {self.required}; it is another checkpoint, or was"
                " changed on its way, and was not loaded."
            )
        self.found[str(path)] = found

    def log(self) -> None:
        """Log the sha256 of all files that were loaded; to be called where INFO is let through."""
        for path, digest in self.found.items():
            logging.info("%s: sha256 %s", path, digest)

    def describe(self) -> str:
        """Return the sha256 of all files that were loaded; "" if there was none."""
        return " ".join(f"sha256:{digest}" for digest in self.found.values())

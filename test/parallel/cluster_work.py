"""Work for workers of a cluster, which import this file: nothing that takes long."""

import os
import time
from pathlib import Path

from espnet_stacodec.errors import DataError


def squared(item: int) -> tuple[int, int]:
    if item < 0:
        raise DataError(f"{item} is negative")
    return item * item, os.getpid()


def slow_at_first(item: int) -> int:
    time.sleep(3 if item == 0 else 0)
    return item


def folder(item: int) -> str:
    return str(Path.cwd())


def deadly(item: tuple[str, Path]) -> str:
    """End the worker where the item says so; "once" leaves a mark by which it lives then."""
    name, folder = item
    if name == "always" or (name == "once" and not (folder / name).exists()):
        with (folder / name).open("a") as file:
            file.write("x")
        os._exit(9)
    return name

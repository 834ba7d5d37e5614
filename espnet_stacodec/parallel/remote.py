"""What a worker of a cluster does."""

import dataclasses
import os
import re
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from espnet_stacodec.errors import StageError
from espnet_stacodec.parallel.devices import choose_gpu, visible_gpus


@dataclasses.dataclass(frozen=True)
class Place:
    """What a worker needs of the command that gave it work.

    Attributes:
        folder: Where the command was started: paths begin there.
        shares_gpus: Whether the workers of a machine divide its GPUs between them.
    """

    folder: str
    shares_gpus: bool

    def enter(self) -> None:
        """Make this process work there.

        Raises:
            StageError: If this machine does not have the folder.
        """
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise StageError(
                f"{self.folder}: the machine {socket.gethostname()} of the cluster cannot enter"
                f" this folder ({error.strerror}); workers need the file system of this command."
            ) from error
        if self.shares_gpus:
            _choose_own_gpu()


@dataclasses.dataclass(frozen=True)
class Failure:
    """An error of an item, as it was raised; the place in its notes."""

    error: Exception


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Outcome of successive items.

    Attributes:
        results: Of each item, in order; the last one may be a `Failure`, after which none follow.
        seconds: How long it took.
    """

    results: list[Any]
    seconds: float


def work_on(place: Place, work: Callable[[Any], Any], items: Sequence[Any]) -> Outcome:
    """Call work(item) of each item, up to the first that fails.

    An error is returned: what is raised here, Dask would print whole on the user's screen.
    """
    started = time.perf_counter()
    results: list[Any] = []
    try:
        place.enter()
        for item in items:
            results.append(work(item))
    except Exception as error:  # noqa: BLE001 - it is raised where the work was asked for
        error.add_note(f"On {socket.gethostname()}: {traceback.format_exc()}")
        results.append(Failure(error))
    return Outcome(results, time.perf_counter() - started)


_has_gpu = False


def _choose_own_gpu() -> None:
    """Let this worker see one GPU alone, by the number that its name ends with."""
    global _has_gpu
    if _has_gpu:
        return
    from distributed import get_worker

    number = re.search(r"\d+$", str(get_worker().name))
    choose_gpu(int(number[0]) if number else 0, visible_gpus())
    _has_gpu = True

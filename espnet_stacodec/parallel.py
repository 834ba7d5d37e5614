"""Work spread over processes on one machine, with progress shown."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from tqdm import tqdm

from espnet_stacodec.errors import ConfigError, StageError

T = TypeVar("T")
R = TypeVar("R")


def parallel_map(
    work: Callable[[T], R],
    items: Sequence[T],
    num_jobs: int,
    description: str,
    unit: str = "utts",
    chunk_size: int = 1,
) -> Iterator[R]:
    """Yield work(item) of every item, in order, computed by up to `num_jobs` processes.

    With one job the work is done in this process. Workers are spawned, not forked: a caller that
    has loaded torch holds threads, which a fork would break. They end when their parent does.

    Args:
        work: A function that can be pickled.
        items: What it is called with.
        num_jobs: Processes at a time.
        description: Of the progress bar.
        unit: What an item is, for the progress bar.
        chunk_size: Items handed to a worker at once.

    Raises:
        ConfigError: If `num_jobs` is not positive.
        StageError: If a worker is killed.
    """
    if num_jobs < 1:
        raise ConfigError(f"At least one process must work, got {num_jobs}; set --nj 1 or more.")
    workers = min(num_jobs, len(items))
    if workers <= 1:
        yield from tqdm(map(work, items), description, len(items), unit=f" {unit}")
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_end_with_parent) as pool:
        results = pool.map(work, items, chunksize=chunk_size)
        try:
            yield from tqdm(results, description, len(items), unit=f" {unit}")
        except BrokenProcessPool as error:
            raise StageError(
                f"{description}: a worker process was killed, perhaps for lack of memory; run it"
                f" again with fewer than --nj {num_jobs}."
            ) from error


def _end_with_parent() -> None:
    """Make this worker end when its parent does: after a `kill -9` it would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only workers call this"

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()

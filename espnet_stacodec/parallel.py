"""Work spread over processes on one machine; settings of torch that a process has once."""

import contextlib
import functools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from tqdm import tqdm

from espnet_stacodec.errors import ConfigError, StageError

T = TypeVar("T")
R = TypeVar("R")


def check_num_jobs(num_jobs: int) -> None:
    """Raise ConfigError if a number of processes is not positive."""
    if num_jobs < 1:
        raise ConfigError(f"At least one process must work, got {num_jobs}; set --nj 1 or more.")


class Workers:
    """Processes that share work; started once, since importing models takes each of them long.

    With one job the work is done in this process. Others are spawned, not forked: a caller that
    has loaded torch holds threads, which a fork would break. They end when their parent does.

    Args:
        num_jobs: Processes at a time.

    Raises:
        ConfigError: If `num_jobs` is not positive.
    """

    def __init__(self, num_jobs: int) -> None:
        check_num_jobs(num_jobs)
        self.num_jobs = num_jobs
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(
        self,
        work: Callable[[T], R],
        items: Sequence[T],
        description: str,
        unit: str = "utts",
        chunk_size: int = 1,
    ) -> Iterator[R]:
        """Yield work(item) of every item, in order.

        Args:
            work: A function that can be pickled.
            items: What it is called with.
            description: Of the progress bar.
            unit: What an item is, for the progress bar.
            chunk_size: Items handed to a process at once.

        Raises:
            StageError: If a process is killed.
        """
        bar = functools.partial(tqdm, desc=description, total=len(items), unit=f" {unit}")
        if min(self.num_jobs, len(items)) <= 1:
            yield from bar(map(work, items))
            return
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.num_jobs, context, initializer=_start_worker)
        work = functools.partial(_unless_interrupted, work)
        try:
            # Processes start here. They inherit the mask, until they are ready for Ctrl-C.
            with _ctrl_c_waits():
                results = self._pool.map(work, items, chunksize=chunk_size)
            yield from bar(results)
        except BrokenProcessPool as error:
            raise StageError(
                f"{description}: a worker process was killed, perhaps for lack of memory; run it"
                f" again with fewer than --nj {self.num_jobs}."
            ) from error

    def map_named(
        self, work: Callable[[T], R], items: Mapping[str, T], description: str
    ) -> Callable[[Sequence[str]], Iterator[R]]:
        """Return a function of ids that yields work(item) of the items with these ids, in order."""
        return lambda ids: self.map(work, [items[item] for item in ids], description)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread in the block, also as a decorator: `@one_thread()`.

    The rule for all work that `Workers` share: sums of floats depend on the number of threads, so
    that with one, results never depend on --nj; and processes do not wait for each other's threads.
    With one job the work is done in the caller's process, whose number of threads comes back.
    """
    import torch  # here: a command's --help does without

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def end_with(parent: int) -> None:
    """Make this process end within a second after `parent`, the process that started it."""

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


_interrupted = threading.Event()
_busy = threading.Event()


@contextlib.contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Let the signal of Ctrl-C wait for the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    """Prepare a worker for the ends that its parent can have."""
    _end_with_parent()
    signal.signal(signal.SIGINT, _interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def _interrupt(signum: int, frame: object) -> None:
    """Leave a worker's task, cleaning up, without a traceback: the parent says what happened."""
    _interrupted.set()
    if _busy.is_set():
        raise SystemExit(128 + signum)


def _unless_interrupted[Item, Result](work: Callable[[Item], Result], item: Item) -> Result:
    """Return work(item), unless Ctrl-C has ended an earlier task of this worker."""
    _busy.set()
    try:
        if _interrupted.is_set():
            raise SystemExit(128 + signal.SIGINT)
        return work(item)
    finally:
        _busy.clear()


def _end_with_parent() -> None:
    """Make this worker end when its parent does: after a `kill -9` it would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only workers call this"

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


_default_dtype_lock = threading.RLock()


@contextlib.contextmanager
def default_float32() -> Iterator[None]:
    """Build models in float32, whatever the default dtype of the caller is.

    The default belongs to the whole process: one thread at a time changes and restores it.
    """
    import torch

    with _default_dtype_lock:
        dtype = torch.get_default_dtype()
        try:
            torch.set_default_dtype(torch.float32)
            yield
        finally:
            torch.set_default_dtype(dtype)

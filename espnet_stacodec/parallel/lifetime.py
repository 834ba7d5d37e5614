"""When processes end: with their parent, and by Ctrl-C without a traceback."""

import contextlib
import functools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator


def end_with(parent: int) -> None:
    """Make this process end within a second after `parent`, the process that started it."""

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextlib.contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Let the signal of Ctrl-C wait for the end of the block.

    Processes and threads that start in it inherit this, until they allow the signal themselves.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_interrupted = threading.Event()
_busy = threading.Event()


def start_worker() -> None:
    """Prepare a process that was started by `multiprocessing` for the ends its parent can have."""
    _end_with_parent()
    signal.signal(signal.SIGINT, _interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def unless_interrupted[**P, R](work: Callable[P, R]) -> Callable[P, R]:
    """Decorate work so that a worker refuses it after a Ctrl-C that ended an earlier task."""

    @functools.wraps(work)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        _busy.set()
        try:
            if _interrupted.is_set():
                raise SystemExit(128 + signal.SIGINT)
            return work(*args, **kwargs)
        finally:
            _busy.clear()

    return guarded


def _interrupt(signum: int, frame: object) -> None:
    """Leave a worker's task, cleaning up, without a traceback: the parent says what happened."""
    _interrupted.set()
    if _busy.is_set():
        raise SystemExit(128 + signum)


def _end_with_parent() -> None:
    """Make this worker end when its parent does: after a `kill -9` it would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only workers call this"

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()

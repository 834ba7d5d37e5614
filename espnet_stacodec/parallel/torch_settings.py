"""Settings of torch that a process has once."""

import contextlib
import threading
from collections.abc import Iterator


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

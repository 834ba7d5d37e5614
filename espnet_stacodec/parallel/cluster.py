"""Workers of a cluster, started by ESPnet's Dask layer."""

import contextlib
import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

import dask
from distributed import Client

from espnet_stacodec.errors import ConfigError, StageError
from espnet_stacodec.parallel.clients import client_of
from espnet_stacodec.parallel.cluster_config import ClusterConfig
from espnet_stacodec.parallel.dispatch import Dispatch
from espnet_stacodec.parallel.lifetime import ctrl_c_waits
from espnet_stacodec.parallel.remote import Place

DASK_SETTINGS = {
    # A worker's death is known at once here, and `Dispatch` gives its task to another.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.work-stealing": False,
    "distributed.worker.profile.enabled": False,
    # A worker that starts again loads its modules first; after this time Dask gives it up.
    "distributed.deploy.lost-worker-timeout": "2 minutes",
}


class Cluster:
    """Workers of a cluster; they end with `close`, and when this process ends.

    Args:
        config: Which cluster.
        use_gpus: Whether each worker has a GPU.

    Raises:
        ConfigError: If it cannot be started as configured.
    """

    def __init__(self, config: ClusterConfig, use_gpus: bool) -> None:
        self.config = config
        # dask_cuda's own workers come with one GPU each.
        self.place = Place(str(Path.cwd()), use_gpus and config.env != "local_gpu")
        self._stack = contextlib.ExitStack()
        self._submission = _SubmissionErrors()
        try:
            self.client = self._start()
        except BaseException:
            self._stack.close()
            raise

    def _start(self) -> Client:
        self._stack.enter_context(_quiet_dask(self._submission))
        self._stack.enter_context(dask.config.set(DASK_SETTINGS))
        self._stack.enter_context(_ends_by_sigterm())
        logging.info("%s: %d workers are asked for", self.config.where, self.config.num_workers)
        try:
            # Ctrl-C is for this process; workers and the commands that submit jobs inherit this.
            with ctrl_c_waits():
                return self._stack.enter_context(client_of(self.config))
        except Exception as error:
            # Of any class: asyncssh, kr8s and others that start workers have their own.
            raise ConfigError(
                f"{self.config.where}: a cluster '{self.config.env}' cannot be started"
                f" ({_first_reason(error)}); change its options."
            ) from error

    def close(self) -> None:
        """End the workers, and take jobs that wait out of the queue."""
        try:
            self._stack.close()
        except AssertionError:
            # Dask's own of a job that was refused, which `check_submission` has said.
            if self._submission.error is None:
                raise

    def slots(self) -> dict[str, int]:
        """Return how many tasks each worker that there is can do at a time, by its address."""
        return dict(self.client.nthreads())

    def ask_again(self) -> None:
        """Start workers, or submit jobs, for those that have ended."""
        if self.config.env == "ssh":
            return  # each host has a process of Dask that starts its workers again
        assert self.client.cluster is not None, "clients are made of clusters only"
        with ctrl_c_waits():
            self.client.cluster.scale(self.config.num_workers)

    def check_submission(self) -> None:
        """Raise StageError if jobs could not be submitted."""
        if self._submission.error is not None:
            reason = " ".join(str(self._submission.error).split())
            raise StageError(
                f"{self.config.where}: the jobs could not be submitted ({reason}); change its"
                " options."
            ) from self._submission.error

    def map[T, R](
        self,
        work: Callable[[T], R],
        items: Sequence[T],
        description: str,
        chunk_size: int,
        names: Sequence[str],
    ) -> Iterator[R]:
        """Yield work(item) of every item, in order; see `Workers.map`."""
        return Dispatch(self, work, items, description, names).results()


def _first_reason(error: BaseException) -> str:
    """Return the message of the error that an error came from; the others name Dask's parts.

    A KeyError's is only the key: what was raised from it says what is wrong.
    """
    while error.__cause__ is not None and not isinstance(error.__cause__, KeyError):
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__


class _SubmissionErrors(logging.Handler):
    """Keeps the first error of Dask's own thread, which nothing raises: a refused submission."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.error: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        if self.error is None and record.exc_info and isinstance(record.exc_info[1], RuntimeError):
            self.error = record.exc_info[1]


@contextlib.contextmanager
def _quiet_dask(errors: logging.Handler) -> Iterator[None]:
    """Keep Dask's lines from the screen: what matters of them is said here, in a sentence."""
    loggers = [
        logging.getLogger(name) for name in ("distributed", "tornado.application", "asyncio")
    ]
    before = [(logger.level, logger.propagate) for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL if logger.name == "distributed" else logging.ERROR)
            logger.propagate = False
            logger.addHandler(errors)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="distributed|dask_jobqueue")
            yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(errors)
            logger.setLevel(level)
            logger.propagate = propagate


@contextlib.contextmanager
def _ends_by_sigterm() -> Iterator[None]:
    """End with a clean-up where the signal comes by which queues end jobs, this process's too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(signum: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

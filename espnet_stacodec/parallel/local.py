"""Processes on this machine."""

import collections
import itertools
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import SimpleQueue

from espnet_stacodec.errors import StageError
from espnet_stacodec.parallel.devices import choose_gpu, visible_gpus
from espnet_stacodec.parallel.lifetime import ctrl_c_waits, start_worker, unless_interrupted

WINDOW = 8  # tasks for each process that are under way, or done and not yet fetched


class LocalPool:
    """Processes that are started once, since importing models takes each of them long.

    They are spawned, not forked: a caller that has loaded torch holds threads, which a fork would
    break. They end when their parent does.

    Args:
        num_jobs: Processes at a time.
        use_gpus: Whether each sees one GPU alone.
    """

    def __init__(self, num_jobs: int, use_gpus: bool) -> None:
        self.num_jobs = num_jobs
        context = multiprocessing.get_context("spawn")
        numbers: SimpleQueue[int] = context.SimpleQueue()
        for number in range(num_jobs):
            numbers.put(number)
        gpus = visible_gpus() if use_gpus else []
        self._pool = ProcessPoolExecutor(num_jobs, context, _start, (numbers, gpus))

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)

    def map[T, R](
        self,
        work: Callable[[T], R],
        items: Sequence[T],
        description: str,
        chunk_size: int,
        names: Sequence[str],
    ) -> Iterator[R]:
        """Yield work(item) of every item, in order; see `Workers.map`."""
        under_way: collections.deque[tuple[Future[list[R]], str]] = collections.deque()

        def first_done() -> list[R]:
            future, name = under_way[0]
            try:
                return future.result()
            except BrokenProcessPool as error:
                raise StageError(
                    f"{description}: a worker process was killed, perhaps for lack of memory; the"
                    f" first that is not done is {name}. Run it again with fewer than --nj"
                    f" {self.num_jobs}."
                ) from error
            finally:
                under_way.popleft()

        chunks = (itertools.batched(every, chunk_size) for every in (items, names))
        try:
            for chunk, chunk_names in zip(*chunks, strict=True):
                # Processes start here. They inherit the mask, until they are ready for Ctrl-C.
                with ctrl_c_waits():
                    future = self._pool.submit(_work_on, work, chunk)
                under_way.append((future, chunk_names[0]))
                if len(under_way) >= WINDOW * self.num_jobs:
                    yield from first_done()
            while under_way:
                yield from first_done()
        finally:
            for future, _ in under_way:
                future.cancel()


def _start(numbers: SimpleQueue[int], gpus: list[str]) -> None:
    """Prepare a process of the pool."""
    choose_gpu(numbers.get(), gpus)
    start_worker()


@unless_interrupted
def _work_on[T, R](work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    return [work(item) for item in items]

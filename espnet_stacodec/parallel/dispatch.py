"""How the items of a `map` are handed out to the workers of a cluster.

Each worker has one task at a time, so that it is known which item ends a worker; the tasks that are
under way are bounded, whatever the number of items; results come in order.
"""

import dataclasses
import heapq
import logging
import queue
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from distributed import CancelledError, Future, KilledWorker

from espnet_stacodec.errors import StageError
from espnet_stacodec.parallel.remote import Failure, Outcome, work_on

if TYPE_CHECKING:
    from espnet_stacodec.parallel.cluster import Cluster

DEATHS = 3  # workers that one item may end
WINDOW = 16  # tasks for each worker that are under way, or done and not yet due
TASK_SECONDS = 1.0  # items are handed out for about this long, so that handing out costs little
TASK_ITEMS = 64
POLL_SECONDS = 1.0  # between looks at which workers there are
RESTART_SECONDS = 30.0  # between requests for what is missing of the workers
FETCH_SECONDS = 60.0  # that results may take from the worker that has made them


@dataclasses.dataclass(frozen=True, order=True)
class _Task:
    """Successive items: their numbers, and how many workers have ended with them."""

    numbers: range = dataclasses.field(compare=False)
    first: int
    deaths: int = dataclasses.field(default=0, compare=False)

    @classmethod
    def of(cls, first: int, size: int, deaths: int = 0) -> "_Task":
        return cls(range(first, first + size), first, deaths)


class Dispatch:
    """The work of one `Cluster.map`: which items are done, which worker has which.

    Args:
        cluster: Its workers.
        work: What is called with each item.
        items: For all of them together.
        description: Of the work, for errors.
        names: Of the items, for errors.
    """

    def __init__(
        self,
        cluster: "Cluster",
        work: Callable[[Any], Any],
        items: Sequence[Any],
        description: str,
        names: Sequence[str],
    ) -> None:
        self._cluster = cluster
        self._work = work
        self._items = items
        self._description = description
        self._names = names
        self._next = 0  # the first item that was never handed out
        self._again: list[_Task] = []  # a heap: what workers that died had
        self._results: dict[int, Any] = {}  # of items that are not due yet
        self._running: dict[Future, tuple[_Task, str]] = {}
        self._ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._slots: dict[str, int] = {}
        self._looked = self._seen = self._asked = time.monotonic()
        self._seconds, self._done = 0.0, 0

    def results(self) -> Iterator[Any]:
        """Yield the results in order; an error is raised when its item is due."""
        try:
            self._look()
            for number in range(len(self._items)):
                self._collect(0)
                self._hand_out(number)
                while number not in self._results:
                    self._collect(POLL_SECONDS)
                    self._hand_out(number)
                result = self._results.pop(number)
                if isinstance(result, Failure):
                    raise result.error
                yield result
        finally:
            for future in self._running:
                future.cancel()

    def _look(self) -> None:
        """Find out which workers there are; raise StageError if for too long there are none."""
        config, now = self._cluster.config, time.monotonic()
        self._cluster.check_submission()
        self._slots, self._looked = self._cluster.slots(), now
        if self._slots:
            self._seen = now
        elif now - self._seen > config.start_timeout:
            raise StageError(
                f"{self._description}: for {config.start_timeout:g} s there was none of the"
                f" {config.num_workers} workers that {config.where} asks for; look at the queue"
                f" and at {config.logs}, or wait longer (start_timeout)."
            )
        if len(self._slots) < config.num_workers and now - self._asked > RESTART_SECONDS:
            self._asked = now
            self._cluster.ask_again()

    def _hand_out(self, due: int) -> None:
        """Give each worker that has nothing to do a task."""
        if time.monotonic() - self._looked > POLL_SECONDS:
            self._look()
        busy = Counter(address for _, address in self._running.values())
        for address, slots in self._slots.items():
            for _ in range(slots - busy[address]):
                task = self._take(due)
                if task is None:
                    return
                self._submit(task, address)

    def _take(self, due: int) -> _Task | None:
        """Return what is to be done next, unless too much would wait for the item that is due."""
        if self._again:
            return heapq.heappop(self._again)
        workers = sum(self._slots.values())
        size = TASK_ITEMS if self._done else 1
        if self._seconds > 0:
            size = min(size, int(TASK_SECONDS * self._done / self._seconds))
        # Small ones at the end, so that all workers end at about the same time.
        size = max(1, min(size, (len(self._items) - self._next) // (2 * workers)))
        size = min(size, len(self._items) - self._next, due + WINDOW * workers * size - self._next)
        if size < 1:
            return None
        task = _Task.of(self._next, size)
        self._next += size
        return task

    def _submit(self, task: _Task, address: str) -> None:
        items = [self._items[number] for number in task.numbers]
        future = self._cluster.client.submit(
            work_on,
            self._cluster.place,
            self._work,
            items,
            pure=False,
            workers=[address],
            allow_other_workers=True,  # if this one has gone just now
            priority=-task.first,
        )
        self._running[future] = task, address
        future.add_done_callback(self._ended.put)

    def _collect(self, seconds: float) -> None:
        """Take the results of tasks that have ended, waiting for the first at most `seconds`."""
        try:
            while True:
                future = self._ended.get(timeout=seconds) if seconds else self._ended.get_nowait()
                task, _ = self._running.pop(future)
                self._take_results(task, future)
                seconds = 0
        except queue.Empty:
            return

    def _take_results(self, task: _Task, future: Future) -> None:
        try:
            outcome = _fetch(future)
        except TimeoutError:
            future.cancel()
            self._do_again(task, task.deaths)
            return
        except KilledWorker as killed:
            self._do_again(task, task.deaths + killed.allowed_failures + 1)
            return
        except CancelledError as error:
            raise StageError(
                f"{self._description}: the scheduler of the cluster has ended; run it again."
            ) from error
        except Exception as error:
            # Not of the work, whose errors are returned: the worker has another environment.
            reason = " ".join(str(error).split())
            raise StageError(
                f"{self._description}: a worker of the cluster cannot do the work"
                f" ({type(error).__name__}: {reason}); it needs the environment of this command,"
                f" see job_script_prologue in {self._cluster.config.where}."
            ) from error
        self._seconds += outcome.seconds
        self._done += len(outcome.results)
        self._results |= zip(task.numbers, outcome.results, strict=False)

    def _do_again(self, task: _Task, deaths: int) -> None:
        """Do a dead worker's items again, one by one; fail where an item is to blame."""
        self._look()
        first = self._names[task.first]
        if len(task.numbers) == 1 and deaths >= DEATHS:
            self._results[task.first] = Failure(
                StageError(
                    f"{self._description}: {deaths} workers ended while they worked on {first},"
                    " perhaps for lack of memory; give each more, or leave it out. See"
                    f" {self._cluster.config.logs}."
                )
            )
            return
        more = f" and {len(task.numbers) - 1} more" if len(task.numbers) > 1 else ""
        logging.warning(
            "%s: a worker has ended; its part (%s%s) is done again", self._description, first, more
        )
        for number in task.numbers:
            heapq.heappush(self._again, _Task.of(number, 1, deaths))


def _fetch(future: Future) -> Outcome:
    """Return what a task that has ended gave, or raise what it raised.

    Raises:
        TimeoutError: If that is lost: with the worker that had it, while nobody asked for it. Dask
            would wait, perhaps for ever, until it is made again.
    """
    if not future.done():
        raise TimeoutError
    return future.result(timeout=FETCH_SECONDS)

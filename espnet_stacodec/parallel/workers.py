"""The one way in which this package shares work: `Workers`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.parallel.local import LocalPool


class Engine(Protocol):
    """Where work is done: processes that are there until `close`."""

    def map[T, R](
        self,
        work: Callable[[T], R],
        items: Sequence[T],
        description: str,
        chunk_size: int,
        names: Sequence[str],
    ) -> Iterator[R]:
        """Yield work(item) of every item, in order."""

    def close(self) -> None:
        """End the processes."""


class Workers:
    """Processes that share work, on this machine or, by `cluster`, on others.

    With one job on this machine the work is done in this process. What comes out does not depend
    on how many processes there are, and where.

    Args:
        num_jobs: Processes at a time.
        num_gpus: If not 0, this many processes instead, each with a GPU of its own.
        cluster: YAML file that says which cluster; None for this machine.

    Attributes:
        device: "cpu" or "cuda": where work computes.

    Raises:
        ConfigError: If a number is not positive, or `cluster` cannot be used.
    """

    def __init__(self, num_jobs: int, num_gpus: int = 0, cluster: Path | None = None) -> None:
        if num_jobs < 1:
            raise ConfigError(
                f"At least one process must work, got {num_jobs}; set --nj 1 or more."
            )
        if num_gpus < 0:
            raise ConfigError(f"There are no {num_gpus} GPUs; set --ngpu 0 or more.")
        self.num_jobs = num_gpus or num_jobs
        self.device = "cuda" if num_gpus else "cpu"
        self._cluster = None
        if cluster is not None:
            from espnet_stacodec.parallel.cluster_config import ClusterConfig

            self._cluster = ClusterConfig.read(cluster, self.num_jobs)
            self.num_jobs = self._cluster.num_workers
        self._engine: Engine | None = None

    @property
    def own_device(self) -> str:
        """Where this process computes: "cuda" only where it does all work itself."""
        return self.device if self.num_jobs == 1 and self._cluster is None else "cpu"

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def map[T, R](
        self,
        work: Callable[[T], R],
        items: Sequence[T],
        description: str,
        unit: str = "utts",
        chunk_size: int = 1,
        names: Sequence[str] | None = None,
        waits: bool = False,
    ) -> Iterator[R]:
        """Yield work(item) of every item, in order.

        Args:
            work: A function that can be pickled.
            items: What it is called with.
            description: Of the progress bar.
            unit: What an item is, for the progress bar.
            chunk_size: Items handed to a process of this machine at once.
            names: What errors call the items; None for what `str` gives.
            waits: Whether work only waits for a process that it starts; on this machine threads
                of this process do that.

        Raises:
            StageError: If a process of this machine is killed, or an item ends three workers of
                the cluster, or for too long there are no workers.
        """
        results: Iterator[R]
        if not items or (self._cluster is None and min(self.num_jobs, len(items)) == 1):
            results = map(work, items)
        elif self._cluster is None and waits:
            results = _map_in_threads(self.num_jobs, work, items)
        else:
            names = list(map(str, items)) if names is None else names
            results = self._started().map(work, items, description, chunk_size, names)
        yield from tqdm(results, desc=description, total=len(items), unit=f" {unit}")

    def map_named[T, R](
        self, work: Callable[[T], R], items: Mapping[str, T], description: str
    ) -> Callable[[Sequence[str]], Iterator[R]]:
        """Return a function of ids that yields work(item) of the items with these ids, in order."""
        return lambda ids: self.map(work, [items[i] for i in ids], description, names=ids)

    def _started(self) -> Engine:
        """Return what does the work, started by the first that there is."""
        if self._engine is None and self._cluster is None:
            self._engine = LocalPool(self.num_jobs, self.device == "cuda")
        elif self._engine is None and self._cluster is not None:
            from espnet_stacodec.parallel.cluster import Cluster

            self._engine = Cluster(self._cluster, self.device == "cuda")
        assert self._engine is not None
        return self._engine


def _map_in_threads[T, R](number: int, work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    with ThreadPoolExecutor(number) as pool:
        yield from pool.map(work, items)

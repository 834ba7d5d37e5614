"""Work spread over processes."""

import os

import pytest
import torch

from espnet_stacodec.errors import ConfigError, DataError, StageError
from espnet_stacodec.parallel import Workers, one_thread


def work(item: int) -> tuple[int, int]:
    if item == 13:
        raise DataError("13 is bad luck")
    if item == 666:
        os._exit(1)
    return item * item, os.getpid()


def squares(items, num_jobs, **options):
    with Workers(num_jobs) as workers:
        return list(workers.map(work, items, "squares", **options))


def test_processes_are_started_once():
    with Workers(2) as workers:
        pids = {pid for _ in range(3) for _, pid in workers.map(work, [1, 2, 3], "squares")}
    assert len(pids) <= 2


def test_one_job_works_here():
    results = squares([3, 1, 2], 1)
    assert results == [(9, os.getpid()), (1, os.getpid()), (4, os.getpid())]


def test_one_item_is_not_worth_a_process():
    assert squares([3], 8) == [(9, os.getpid())]
    assert squares([], 8) == []


def test_two_jobs_work_elsewhere_and_keep_the_order():
    results = squares(list(range(9)), 2, chunk_size=2)
    assert [square for square, _ in results] == [i * i for i in range(9)]
    assert os.getpid() not in {pid for _, pid in results}


def test_errors_of_workers_arrive_as_they_are():
    with pytest.raises(DataError, match="^13 is bad luck$"):
        squares([1, 13, 2], 2)


def test_a_killed_worker_is_one_sentence():
    with pytest.raises(StageError, match="^squares: a worker process was killed.*--nj 2"):
        squares([1, 666, 2], 2)


@pytest.mark.parametrize("jobs", [0, -1])
def test_impossible_numbers_of_jobs(jobs):
    with pytest.raises(ConfigError, match=f"got {jobs}; set --nj 1 or more"):
        squares([1], jobs)


@one_thread()
def threads_inside(item: int) -> int:
    """Return how many threads torch has, where work is done."""
    if item < 0:
        raise DataError("below 0")
    return torch.get_num_threads()


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_work_has_one_thread_and_the_caller_keeps_its_own(three_threads):
    with Workers(1) as workers:
        assert list(workers.map(threads_inside, [1, 2], "threads")) == [1, 1]
        assert torch.get_num_threads() == 3
        with pytest.raises(DataError):
            list(workers.map(threads_inside, [-1], "threads"))
    assert torch.get_num_threads() == 3


def test_work_by_name():
    with Workers(1) as workers:
        squared = workers.map_named(work, {"a": 2, "b": 3, "c": 4}, "squares")
        assert [square for square, _ in squared(["c", "a"])] == [16, 4]

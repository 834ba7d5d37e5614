"""Work spread over processes."""

import os

import pytest

from espnet_stacodec.errors import ConfigError, DataError, StageError
from espnet_stacodec.parallel import Workers


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

"""One GPU for each process."""

import os

import pytest

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.parallel import Workers
from espnet_stacodec.parallel.devices import VISIBLE, choose_gpu, visible_gpus


def seen(item: int) -> tuple[int, str | None]:
    return os.getpid(), os.environ.get(VISIBLE)


def test_processes_with_gpus_have_one_each(monkeypatch):
    monkeypatch.setenv(VISIBLE, "3,5")
    with Workers(7, num_gpus=2) as workers:
        assert (workers.num_jobs, workers.device, workers.own_device) == (2, "cuda", "cpu")
        found = dict(workers.map(seen, list(range(40)), "seen"))
    assert set(found.values()) <= {"3", "5"} and os.getpid() not in found
    assert len(set(found.values())) == len(found)


def test_without_gpus_nothing_is_chosen(monkeypatch):
    monkeypatch.setenv(VISIBLE, "3,5")
    with Workers(2) as workers:
        assert workers.device == workers.own_device == "cpu"
        assert {gpus for _, gpus in workers.map(seen, [1, 2], "seen")} == {"3,5"}


def test_a_single_process_computes_here():
    workers = Workers(4, num_gpus=1)
    assert (workers.num_jobs, workers.own_device) == (1, "cuda")
    with pytest.raises(ConfigError, match="set --ngpu 0 or more"):
        Workers(1, num_gpus=-1)


def test_more_processes_than_gpus_take_turns(monkeypatch):
    monkeypatch.setenv(VISIBLE, "0, 1")
    gpus = visible_gpus()
    assert gpus == ["0", "1"]
    for number, chosen in enumerate(["0", "1", "0"]):
        choose_gpu(number, gpus)
        assert os.environ[VISIBLE] == chosen
    choose_gpu(0, [])
    assert os.environ[VISIBLE] == "0"

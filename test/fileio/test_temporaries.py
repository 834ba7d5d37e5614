"""Several commands in one folder."""

import fcntl
import logging
import os
import subprocess
import sys
import threading

import pytest

from espnet_stacodec.errors import StageError
from espnet_stacodec.fileio import temporaries
from espnet_stacodec.fileio.temporaries import exclusive, remove_leftovers, temporary_path

HOLD = """
import sys
from pathlib import Path
from espnet_stacodec.fileio.temporaries import exclusive, temporary_path
with exclusive(Path(sys.argv[1])):
    temporary_path(Path(sys.argv[1]) / "half").write_text("half")
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of tmp_path and has an unfinished file there."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_names_of_unfinished_files_differ_and_keep_the_ending(tmp_path):
    path = tmp_path / ("u" * 250 + ".flac")
    names = {temporary_path(path).name for _ in range(9)}
    assert len(names) == 9
    for name in names:
        assert name.startswith(".tmp-") and f"-{os.getpid()}-" in name and name.endswith(".flac")
        (tmp_path / name).touch()  # though the name of `path` has no room for more


def test_only_what_no_living_process_owns_is_removed(tmp_path, dead_temporary, holder):
    dead = [dead_temporary(tmp_path, ending) for ending in (".ark", "", ".0123456789abcdef")]
    dead[0].touch()
    dead[1].mkdir()
    (dead[1] / "inside").touch()
    dead[2].touch()
    mine = temporary_path(tmp_path / "a.npz")
    host = temporaries._HOST
    foreign = tmp_path / dead[0].name.replace(f"-{host}-", f"-not{host}-")
    others = tmp_path / ".tmp-of-something-else"
    living = next(tmp_path.glob(f".tmp-*-{holder.pid}-*"))
    for path in (mine, foreign, others):
        path.touch()
    remove_leftovers(tmp_path)
    left = {mine, foreign, others, living, tmp_path / ".lock"}
    assert set(tmp_path.iterdir()) == left


def test_a_second_command_waits_and_says_for_whom(tmp_path, holder, caplog):
    entered, warned = threading.Event(), threading.Event()

    def second() -> None:
        with exclusive(tmp_path):
            entered.set()

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warned.set()

    logging.getLogger().addHandler(watch := Watch())
    thread = threading.Thread(target=second)
    thread.start()
    assert warned.wait(30) and not entered.is_set()
    logging.getLogger().removeHandler(watch)
    assert f"process {holder.pid} on " in caplog.text
    assert "is writing here; waiting until it ends" in caplog.text
    holder.kill()
    thread.join(30)
    assert entered.is_set()
    # A process that is killed lets go of its lock a moment before it has ended.
    holder.wait(30)
    with exclusive(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []  # neither the lock nor what the killed one left


def test_many_threads_are_never_in_the_folder_together(tmp_path):
    inside, most = [], []

    def work(number: int) -> None:
        for _ in range(20):
            with exclusive(tmp_path):
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1 and len(most) == 160


def test_an_error_releases_the_lock(tmp_path):
    with pytest.raises(RuntimeError), exclusive(tmp_path):
        raise RuntimeError
    with exclusive(tmp_path):
        assert (tmp_path / ".lock").exists()


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, caplog):
    def refuse(*args: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with exclusive(tmp_path):
        pass
    assert f"{tmp_path}: it cannot be locked (Operation not supported)" in caplog.text


def test_who_does_not_wait_is_told_who_writes(tmp_path, holder):
    with (
        pytest.raises(StageError, match=rf"process {holder.pid} on \S+ is writing here; wait"),
        exclusive(tmp_path, wait=False),
    ):
        raise AssertionError("both hold the lock")
    assert len(list(tmp_path.glob(".tmp-*"))) == 1  # the holder's work is left alone

"""Trainings on two machines, both of them this one: an agent for each, which started alike."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

COMMAND = "espnet_stacodec.bin.train"
# Starts processes as the command does, but others: without ESPnet, and in no exchange.
IDLE = """
import sys
from espnet_stacodec.bin import _cli
from espnet_stacodec.train.launcher import Launch

with _cli.errors_in_one_sentence("idle"):
    Launch(sys.argv[1:]).run("idle_rank")
"""


@contextlib.contextmanager
def machines(words: list[str], **environment: str) -> Iterator[list[subprocess.Popen]]:
    """Start the same command as on each of two machines."""
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    place = ["--num_nodes", "2", "--nproc", "1", "--dist_master_addr", "localhost"]
    command = [sys.executable, *words, *place, "--dist_master_port", str(port)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"} | environment
    agents = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        for _ in range(2)
    ]
    try:
        yield agents
    finally:
        for agent in agents:
            agent.kill()
            agent.communicate()


def pid_of(path: Path) -> int:
    """Return the process that a rank says it is, once it does."""
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} did not start"
        time.sleep(0.05)
    return int(path.read_text())


def starter_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_meeting_place(agent: subprocess.Popen) -> bool:
    """Return whether an agent has opened the port that both were given.

    The one that came first has; that with rank 0 may be the other one, and opens a port, too.
    """
    port = int(agent.args[-1])  # type: ignore[index,arg-type]
    places = psutil.Process(agent.pid).net_connections()
    return any(p.status == psutil.CONN_LISTEN and p.laddr.port == port for p in places)


@pytest.fixture
def idle(tmp_path) -> Iterator[tuple[list[subprocess.Popen], list[int]]]:
    """Two agents, that with rank 0 first, and their ranks' processes."""
    path = f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}"
    with machines(["-c", IDLE], PYTHONPATH=path, IDLE_RANKS=str(tmp_path)) as agents:
        ranks = [pid_of(tmp_path / str(rank)) for rank in range(2)]
        yield sorted(agents, key=lambda agent: agent.pid != starter_of(ranks[0])), ranks


def wait_for_end(agent: subprocess.Popen, rank: int) -> tuple[int, str]:
    """Return the status of an agent and its last line, when it and its rank have ended."""
    output, _ = agent.communicate(timeout=30)
    end = time.monotonic() + 10
    while Path(f"/proc/{rank}").exists():
        assert time.monotonic() < end, "a rank goes on"
        time.sleep(0.05)
    return agent.returncode, output.splitlines()[-1]


@pytest.mark.parametrize("victim", [0, 1])
def test_all_end_when_a_process_of_another_machine_is_killed(idle, victim):
    agents, ranks = idle
    os.kill(ranks[victim], signal.SIGKILL)
    status, line = wait_for_end(agents[victim], ranks[victim])
    assert status == 1
    assert f"process {victim} of the training was ended by SIGKILL" in line
    status, line = wait_for_end(agents[1 - victim], ranks[1 - victim])
    assert status == 1
    assert line.startswith("idle: error: the training has ended on another machine")


def test_all_end_when_the_command_of_another_machine_is_ended(idle):
    agents, ranks = idle
    agents[1].send_signal(signal.SIGTERM)
    assert wait_for_end(agents[1], ranks[1])[0] != 0
    status, line = wait_for_end(agents[0], ranks[0])
    assert status == 1 and "has ended on another machine" in line


def test_all_end_with_the_machine_where_they_meet(idle):
    agents, ranks = idle
    host = [is_meeting_place(agent) for agent in agents].index(True)
    agents[host].kill()
    status, line = wait_for_end(agents[1 - host], ranks[1 - host])
    assert status == 1 and "has ended on another machine" in line


def test_two_machines_train_together(toy_task, tmp_path):
    out = tmp_path / "exp"
    options = toy_task.options(out, max_epoch=1, batch_size=2, valid_batch_size=1)
    with machines(["-m", COMMAND, *options]) as agents:
        outputs = [agent.communicate(timeout=120)[0] for agent in agents]
        assert [agent.returncode for agent in agents] == [0, 0], outputs
    assert (out / "1epoch.pth").exists()
    assert sum("1epoch started" in output for output in outputs) == 1  # rank 0 says it

"""Trainings of two processes without GPUs: as started by the command, killed, and gone on with."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.train import launcher
from espnet_stacodec.train.launcher import Launch

COMMAND = "espnet_stacodec.bin.train"


def start(options: list[str]) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", COMMAND, *options, "--nproc", "2"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()]


def wait_for(path: Path, process: subprocess.Popen, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None and time.monotonic() < end, process.communicate()[0]
        time.sleep(0.05)


def test_a_killed_rank_ends_the_other_and_the_training_goes_on(toy_task, tmp_path):
    out = tmp_path / "exp"
    options = toy_task.options(out, max_epoch=500, batch_size=2, valid_batch_size=1, resume=True)
    process = start(options)
    wait_for(out / "1epoch.pth", process)
    victim = max(children(process.pid))
    os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    output, _ = process.communicate(timeout=100)
    assert time.monotonic() - killed < 60
    assert process.returncode == 1
    assert "was ended by SIGKILL, and the others were stopped" in output.splitlines()[-1]
    reports = torch.load(out / "checkpoint.pth", weights_only=True)["reporter"]
    epoch = reports["epoch"]
    # As many batches as in one process, each divided; both utterances are validated, and scored.
    steps = int(torch.load(out / f"{epoch}epoch.pth", weights_only=True)["codec.generator_steps"])
    alone = toy_task.train(tmp_path / "alone", max_epoch=1, batch_size=2)
    assert steps == epoch * int(
        torch.load(alone / "1epoch.pth", weights_only=True)["codec.generator_steps"]
    )
    assert {"stoi", "mel_loss"} <= set(reports["stats"][1]["valid"])
    assert "multiprocessing_distributed: false" in (out / "config.yaml").read_text()

    options = toy_task.options(
        out, max_epoch=epoch + 1, batch_size=2, valid_batch_size=1, resume=True
    )
    process = start(options)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert f"{epoch + 1}/{epoch + 1}epoch started" in output
    assert (out / f"{epoch + 1}epoch.pth").exists()


def test_an_error_of_one_rank_is_said_once(toy_task, tmp_path):
    scp = tmp_path / "semantic.scp"
    lines = (toy_task.tokenizer / "train" / "semantic.scp").read_text().splitlines()
    rows = dict(line.split(" ", 1) for line in lines)
    rows["train1"] = rows["train2"]  # rank 1 has every second utterance
    scp.write_text("".join(f"{utt} {place}\n" for utt, place in rows.items()))
    audio = [str(toy_task.folder / "dump/raw/train/wav.scp"), "audio", "sound"]
    data = [audio, [str(scp), "semantic", "kaldi_ark"]]
    options = toy_task.options(tmp_path / "exp", train_data_path_and_name_and_type=data)
    output, _ = (process := start(options)).communicate(timeout=300)
    assert process.returncode == 1
    assert output.splitlines()[-1].startswith(
        f"{COMMAND}: error: train1: 43 semantic tokens for 7 codec frames"
    )


def test_what_is_for_the_start_alone_is_not_passed_on(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    launch = Launch(["--config", "a.yaml", "--nproc", "2", "--ngpu", "0", "--num_nodes", "1"])
    assert launch.is_needed and launch.processes == 2
    assert launch.others == ["--config", "a.yaml"]
    one = Launch(["--config", "a.yaml", "--ngpu", "1"])
    assert not one.is_needed and one.argv == ["--config", "a.yaml", "--ngpu", "1"]
    assert not Launch(["--nproc", "2", "--collect_stats", "true"]).is_needed


def test_a_process_that_was_started_starts_no_others(monkeypatch):
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert not Launch(["--nproc", "2"]).is_needed


def test_starts_that_cannot_be(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr(launcher.torch.cuda, "device_count", lambda: 2)
    assert Launch(["--ngpu", "2"]).is_needed
    with pytest.raises(ConfigError, match="--ngpu 4: this machine has 2 GPUs"):
        Launch(["--ngpu", "4"])
    with pytest.raises(ConfigError, match="--nproc 3 does not go with --ngpu 2"):
        Launch(["--ngpu", "2", "--nproc", "3"])
    with pytest.raises(ConfigError, match="--num_nodes 2 needs --dist_master_addr"):
        Launch(["--ngpu", "1", "--num_nodes", "2"])
    with pytest.raises(ConfigError, match="command line: nproc 0 is below 1"):
        Launch(["--nproc", "0"])


def test_data_parallelism_in_one_process_is_refused(toy_task, tmp_path):
    with pytest.raises(ConfigError, match="ngpu 2 in one process would lose what codebooks"):
        toy_task.train(tmp_path / "exp", ngpu=2)


def test_the_other_processes_end_when_the_one_that_started_them_is_gone():
    """Killed, it cannot tell them."""
    code = (
        "import os, time\n"
        "from espnet_stacodec.train import launcher\n"
        "launcher.end_with_starter()\n"
        "print(os.getpid(), flush=True)\n"
        "time.sleep(300)\n"
    )
    starter = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {code!r}])"
    parent = subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    end = time.monotonic() + 60
    while Path(f"/proc/{child}").exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert not Path(f"/proc/{child}").exists()

"""The training command where the disk is full, or audio goes away."""

import resource
import subprocess
import sys

import pytest
import soundfile

from espnet_stacodec.bin import train
from espnet_stacodec.fileio.provenance import Provenance
from espnet_stacodec.tasks.stacodec import STACodecTask


def test_a_full_disk_ends_the_training_in_one_sentence(toy_task, tmp_path):
    """Files may grow to 30 kB: configuration and log fit, a checkpoint does not."""
    out = tmp_path / "exp"
    command = [sys.executable, "-m", "espnet_stacodec.bin.train", *toy_task.options(out)]
    full = subprocess.run(
        command,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)),
    )
    assert full.returncode == 1
    last = full.stderr.strip().splitlines()[-1]
    assert last.startswith("espnet_stacodec.bin.train: error: a checkpoint cannot be written")
    assert not list(out.glob("*epoch.pth"))
    subprocess.run([*command, "--resume", "true"], check=True, capture_output=True)
    assert (out / "2epoch.pth").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_audio_that_goes_away_while_it_trains_is_named(toy_task, tmp_path, monkeypatch, workers):
    """After it was looked at; also where a data loader's process reads it."""
    path = toy_task.folder / "dump" / "raw" / "train" / "train2.wav"
    written, away = Provenance.write, tmp_path / "away"

    def write(self, *args, **kwargs) -> None:
        written(self, *args, **kwargs)
        path.rename(away)

    monkeypatch.setattr(Provenance, "write", write)
    options = toy_task.options(tmp_path / "exp", num_workers=workers, max_epoch=1)
    try:
        with pytest.raises(SystemExit) as end:
            train.main(options)
    finally:
        away.rename(path)
    said = str(end.value)
    assert "cannot be read any more" in said and "train2.wav" in said and "\n" not in said
    monkeypatch.undo()
    train.main([*options, "--resume", "true"])
    assert (tmp_path / "exp" / "1epoch.pth").exists()


@pytest.mark.parametrize(
    "error",
    [
        soundfile.LibsndfileError(2, "Error opening 'a.flac': "),
        RuntimeError(  # as a data loader's process hands it on
            "Caught LibsndfileError in DataLoader worker process 0.\nTraceback\n"
            "soundfile.LibsndfileError: Error opening 'a.flac': System error."
        ),
    ],
)
def test_audio_that_goes_away_ends_the_training_in_one_sentence(error, monkeypatch):
    def fail(**kwargs):
        raise error

    monkeypatch.setattr(STACodecTask, "main", fail)
    with pytest.raises(SystemExit, match=r"cannot be read any more \(.*Error opening 'a\.flac'"):
        train.main([])


@pytest.mark.parametrize(
    ("end", "said", "status"), [("'x: error: y'", "x: error: y\n", 1), ("130", "", 130)]
)
def test_a_training_that_fails_does_not_wait_for_its_threads(end, said, status):
    """As tensorboard's writers, which never end where the disk is full."""
    program = "import sys, threading\nfrom espnet_stacodec.bin import _training\n"
    program += "threading.Thread(target=threading.Event().wait).start()\n"
    program += f"_training.run(lambda: sys.exit({end}))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (status, said)

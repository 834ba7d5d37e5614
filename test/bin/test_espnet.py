"""The runner of ESPnet's commands."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from toy_reader import options_of, write_data

from espnet_stacodec.bin import espnet
from espnet_stacodec.fileio.files import read_scp, write_scp
from espnet_stacodec.fileio.provenance import Provenance, fingerprint_places
from espnet_stacodec.fileio.temporaries import exclusive


def test_a_command_runs_with_the_codec_registered():
    ran = subprocess.run(
        [sys.executable, "-m", "espnet_stacodec.bin.espnet", "gan_codec_train", "--help"],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert "stacodec" in ran.stdout


@pytest.fixture
def experiment(tmp_path, monkeypatch) -> Path:
    """A recognizer of two words, trained for an epoch."""
    monkeypatch.chdir(tmp_path)
    write_data()
    return tmp_path / "exp"


def test_two_trainings_do_not_write_in_one_folder(experiment):
    with exclusive(experiment):
        before = sorted(experiment.iterdir())
        with pytest.raises(
            SystemExit, match=r"exp: process \d+ on \S+ is writing here; wait until"
        ):
            espnet.main([*options_of(experiment), "--max_epoch", "1"])
        assert sorted(experiment.iterdir()) == before


def test_another_model_is_another_experiment(experiment):
    """ESPnet writes config.yaml before it finds that the weights do not fit."""
    options = options_of(experiment)
    espnet.main([*options, "--max_epoch", "1"])
    before = (experiment / "config.yaml").read_bytes()
    with pytest.raises(SystemExit, match=r"encoder_conf.hidden_size \(4 there, 6 now\); train"):
        espnet.main([*options, "--max_epoch", "2", "--encoder_conf", "hidden_size=6"])
    assert (experiment / "config.yaml").read_bytes() == before
    espnet.main([*options, "--max_epoch", "2"])
    assert (experiment / "2epoch.pth").exists()


def test_a_training_and_its_statistics_say_what_made_them(experiment):
    options = [*options_of(experiment), "--seed", "3"]
    espnet.main([*options, "--output_dir", str(experiment / "stats"), "--collect_stats", "true"])
    espnet.main([*options, "--max_epoch", "1"])
    stats, made = (
        yaml.safe_load((folder / "provenance.yaml").read_text())
        for folder in (experiment / "stats", experiment)
    )
    assert made["seed"] == 3 and "torch" in made["versions"] and "git_revision" in made
    assert made["configuration"]["encoder_conf"]["hidden_size"] == 4
    assert [part["configuration"]["collect_stats"] for part in (stats, made)] == [True, False]
    names = [f"{part}_{name}" for part in ("train", "valid") for name in ("src_text", "text")]
    assert set(made["data"]) == {*names, "token_list", "src_token_list"}
    assert made["data"] == stats["data"]
    assert made["data"]["train_src_text"] == fingerprint_places(read_scp("codes.scp"))

    write_scp(Path("text"), {"utt0": "on", "utt1": "off"})
    espnet.main([*options, "--max_epoch", "2"])
    again = yaml.safe_load((experiment / "provenance.yaml").read_text())
    assert again["data"]["train_text"] != made["data"]["train_text"]
    assert again["earlier"][0]["data"] == made["data"]
    assert again["earlier"][0]["configuration"]["max_epoch"] == 1


def epoch_of(checkpoint: Path) -> int:
    return torch.load(checkpoint, weights_only=True)["reporter"]["epoch"]


def test_a_full_disk_ends_the_training_in_one_sentence(experiment):
    """Files may grow to 100 kB: configuration and log fit, a checkpoint of 1 MB does not."""
    command = [sys.executable, "-m", "espnet_stacodec.bin.espnet", *options_of(experiment)]
    full = subprocess.run(
        command,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert full.returncode == 1
    said = full.stderr.strip().splitlines()[-1]
    assert f"error: {experiment}: a checkpoint cannot be written; make room on the disk" in said
    assert (experiment / "checkpoint.pth").stat().st_size <= 100_000
    espnet.main([*options_of(experiment), "--max_epoch", "1"])
    assert epoch_of(experiment / "checkpoint.pth") == 1


def test_a_checkpoint_that_was_cut_off_is_replaced_by_the_one_before(experiment, monkeypatch):
    """As by a kill while it was written."""
    options = options_of(experiment)
    espnet.main([*options, "--max_epoch", "2"])
    checkpoint, previous = (experiment / f"checkpoint{which}.pth" for which in ("", ".previous"))
    assert (epoch_of(checkpoint), epoch_of(previous)) == (2, 1)
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    begun = []
    seeded = "espnet2.train.trainer.set_all_random_seed"  # with the seed 0 and the epoch
    monkeypatch.setattr(seeded, lambda seed: begun.append(seed))
    espnet.main([*options, "--max_epoch", "3"])
    assert begun == [2, 3]
    assert (epoch_of(checkpoint), epoch_of(previous)) == (3, 2)


def test_a_checkpoint_is_kept_as_it_is_where_another_model_is_asked_for(experiment):
    options = options_of(experiment)
    espnet.main([*options, "--max_epoch", "1"])
    checkpoint = experiment / "checkpoint.pth"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    with pytest.raises(SystemExit, match="started with another"):
        espnet.main([*options, "--encoder_conf", "hidden_size=6"])
    assert checkpoint.exists()


@pytest.mark.parametrize("workers", ["0", "1"])
def test_codes_that_go_away_while_it_trains_are_named(experiment, monkeypatch, workers):
    """After they were looked at; also where a data loader's process reads them."""
    written = Provenance.write

    def write(self, *args, **kwargs) -> None:
        written(self, *args, **kwargs)
        Path("codes.ark").rename("away")

    options = [*options_of(experiment), "--max_epoch", "1", "--num_workers", workers]
    with monkeypatch.context() as patched, pytest.raises(SystemExit) as end:
        patched.setattr(Provenance, "write", write)
        espnet.main(options)
    said = str(end.value)
    assert said.startswith("espnet_stacodec.bin.espnet mt_train: error: ") and len(said) < 150
    assert "codes.ark" in said and "No such file or directory" in said
    with pytest.raises(SystemExit, match=r"codes\.ark cannot be read .*; run the stage that makes"):
        espnet.main(options)
    Path("away").rename("codes.ark")
    espnet.main(options)
    assert (experiment / "1epoch.pth").exists()


@pytest.mark.parametrize("command", ["no_such_train", "../train"])
def test_an_unknown_command_is_named(command, capsys):
    with pytest.raises(SystemExit):
        espnet.main([command])
    assert f"ESPnet has no command '{command}'" in capsys.readouterr().err

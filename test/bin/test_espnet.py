"""The runner of ESPnet's commands."""

import subprocess
import sys
from pathlib import Path

import kaldiio
import numpy as np
import pytest

from espnet_stacodec.bin import espnet
from espnet_stacodec.fileio.files import write_scp
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
    Path("tokens.txt").write_text("<blank>\n<unk>\non\noff\n<sos/eos>\n")
    utts = [f"utt{number}" for number in range(2)]
    write_scp(Path("text"), dict.fromkeys(utts, "on off"))
    Path("shape").write_text("".join(f"{utt} 8\n" for utt in utts))
    feats = {utt: np.arange(2, 10, dtype=np.int32) % 4 for utt in utts}
    kaldiio.save_ark("codes.ark", feats, scp="codes.scp")
    return tmp_path / "exp"


def options_of(experiment: Path) -> list[str]:
    options = ["mt_train", "--model", "discrete_asr", "--output_dir", str(experiment)]
    options += ["--token_type", "word", "--src_token_type", "null", "--token_list", "tokens.txt"]
    options += ["--src_token_list", "tokens.txt", "--frontend", "embed"]
    options += ["--frontend_conf", "embed_dim=4", "--encoder", "rnn", "--decoder", "rnn"]
    options += ["--encoder_conf", "hidden_size=4", "--encoder_conf", "output_size=4"]
    options += ["--encoder_conf", "num_layers=1", "--resume", "true", "--num_workers", "0"]
    options += ["--batch_size", "2", "--batch_type", "sorted"]
    for kind in ("train", "valid"):
        for stream in ("codes.scp,src_text,kaldi_ark", "text,text,text"):
            options += [f"--{kind}_data_path_and_name_and_type", stream]
        options += [f"--{kind}_shape_file", "shape"]
    return options


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


@pytest.mark.parametrize("command", ["no_such_train", "../train"])
def test_an_unknown_command_is_named(command, capsys):
    with pytest.raises(SystemExit):
        espnet.main([command])
    assert f"ESPnet has no command '{command}'" in capsys.readouterr().err

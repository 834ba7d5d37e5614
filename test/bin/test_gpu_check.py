"""The check of a GPU, tried out on a CPU with a tiny codec."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from espnet_stacodec.bin import gpu_check
from espnet_stacodec.fileio.audio import write_audio

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "gpu_check.sh"


@pytest.fixture
def config(tiny_codec_conf, tmp_path: Path) -> Path:
    conf = {
        "codec": "stacodec",
        "codec_conf": tiny_codec_conf,
        "optim_conf": {"lr": 1e-3},
        "optim2_conf": {"lr": 1e-3},
        "chunk_length": "6400",
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(conf))
    return path


def test_trainings_and_codings_are_reported(config, noise, tmp_path, capsys):
    for number in range(2):
        write_audio(tmp_path / "audio" / f"{number}.wav", noise(9600), 16000)
    write_audio(tmp_path / "audio" / "short.wav", noise(1000), 16000)
    words = ["--device", "cpu", "--steps", "7", "--batch_size", "2", "--coded", "2"]
    gpu_check.main(
        [*words, "--configs", str(config), "--out", str(tmp_path / "out"),
         "--audio", str(tmp_path / "audio")]
    )  # fmt: skip
    report = json.loads((tmp_path / "out" / "gpu_check.json").read_text())
    assert [row["precision"] for row in report["trainings"]] == ["float32", "bfloat16"]
    for row in report["trainings"]:
        assert row["steps"] == 7 and row["skipped"] == 0
        # From the first step on, the adversary too.
        assert {"mel_loss", "adv_loss", "discriminator_loss"} <= set(row["first"])
        assert row["last"]["mel_loss"] != row["first"]["mel_loss"]
        assert row["step_seconds"] > 0
    assert [row["batch_size"] for row in report["coding"]] == [1, 1, 16, 16]
    assert [row["equal_codes"] for row in report["coding"][:2]] == [1.0, 1.0]
    printed = capsys.readouterr().out
    assert printed.count("| tiny |") == 6


def test_a_training_ends_in_time(config, tmp_path):
    gpu_check.main(
        ["--device", "cpu", "--steps", "1000", "--batch_size", "1", "--coded", "1",
         "--max_seconds", "0.1", "--precisions", "float32",
         "--configs", str(config), "--out", str(tmp_path)]
    )  # fmt: skip
    (row,) = json.loads((tmp_path / "gpu_check.json").read_text())["trainings"]
    assert 1 <= row["steps"] < 1000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "0"], "--steps 0 is below 1"),
        (["--audio", "{folder}"], "no audio file of 0.4 s or more"),
    ],
)
def test_what_cannot_be_checked_is_said(config, tmp_path, words, message):
    (tmp_path / "empty").mkdir()
    words = [word.format(folder=tmp_path / "empty") for word in words]
    with pytest.raises(SystemExit, match=message):
        gpu_check.main(
            ["--device", "cpu", "--configs", str(config), "--out", str(tmp_path), *words]
        )


def test_the_script_runs_from_anywhere_without_a_checkout(tmp_path):
    environment = {"PATH": os.environ["PATH"], "PYTHON": sys.executable}
    done = subprocess.run(
        [SCRIPT, "--help"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and "--fastest_kernels" in done.stdout

"""Statistics and trainings (stages 4 and 5) where the disk is full or the folder read-only."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from toy_reader import options_of, write_data

DRIVER = Path(__file__).parents[1] / "hindered_runs.py"
STATISTICS = ["--collect_stats", "true"]
# What each kind of work has made when it is whole.
MADE = {
    "codec's statistics": ("train/audio_shape", "valid/audio_shape"),
    "codec": ("checkpoint.pth", "1epoch.pth", "semantic/tokenizer.yaml"),
    "reader's statistics": ("train/text_shape", "valid/src_text_shape"),
    "reader": ("checkpoint.pth", "1epoch.pth"),
}


@pytest.fixture(scope="module")
def work(toy_task, tmp_path_factory) -> Path:
    """The folder of all runs, with what they are asked."""
    folder = tmp_path_factory.mktemp("trainings")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        write_data()
    codec = [*toy_task.options(folder / "unused", max_epoch=1), "--resume", "true"]
    reader = [*options_of(folder / "unused"), "--max_epoch", "1"]
    kinds = {
        "codec": ("espnet_stacodec.bin.train", codec),
        "reader": ("espnet_stacodec.bin.espnet", reader),
    }
    asked = {}
    for name, (module, argv) in kinds.items():
        for kind, more in ((f"{name}'s statistics", STATISTICS), (name, [])):
            asked[kind] = {"module": module, "argv": [*argv, *more], "data": str(folder)}
    (folder / "work.json").write_text(json.dumps(asked))
    return folder


@pytest.mark.parametrize(
    ("hindrance", "expected"),
    [
        ("full", ("No space left on device; free some", "File too large; free", "make room")),
        ("readonly", ("Read-only file system; write to", "Permission denied")),
    ],
)
def test_a_hindered_training_ends_with_a_sentence_and_damages_nothing(work, hindrance, expected):
    """The next run, without the hindrance, makes all of it."""
    command = [sys.executable, str(DRIVER), str(work / "work.json"), hindrance]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said.keys() == MADE.keys()
    for kind, (first, second) in said.items():
        assert any(words in first for words in expected), f"{kind}: {first}"
        assert "\n" not in first and second == "", f"{kind}: {first} {second}"
        out = work / kind / hindrance / "out"
        assert yaml.safe_load((out / "provenance.yaml").read_text())["data"], kind
        for name in MADE[kind]:
            path = out / name
            assert path.stat().st_size and (path.suffix != ".pth" or zipfile.is_zipfile(path)), kind

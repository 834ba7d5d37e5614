"""What killed, hindered and resumed runs make is what an undisturbed one makes, to the byte."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import soundfile
from stand_in_recognizer import ECHO

from espnet_stacodec.fileio.files import read_scp, write_scp, write_text

DRIVER = Path(__file__).with_name("killed_runs.py")
HINDERED = DRIVER.with_name("hindered_runs.py")
# What is among the files of each kind of work, and how many runs are killed at least.
KINDS = {
    "formatted": (("train/wav.scp", "train/wav/train5.flac", "valid/provenance.yaml"), 5),
    "tokens": (("tokenizer.yaml", "train/semantic.3.ark", "valid/provenance.yaml"), 5),
    "codes": (("codes.json", "train/provenance.yaml", "valid/slu_text"), 5),
    "decoding": (("train/provenance.yaml", "train/wav/train5.wav", "valid/codes/valid1.npz"), 5),
    "inputs": (("codes.json", "train/provenance.yaml", "valid/codes.scp"), 5),
    "packed": (("codec.zip/model.safetensors", "codec.zip/provenance.yaml"), 1),
    "recognized": (("text", "provenance.yaml"), 2),
}


def write_sets(raw: Path, toy: Path) -> None:
    """Write the lists of stage 2 for the toy's audio."""
    for name in ("train", "valid"):
        wav = read_scp(toy / name / "wav.scp")
        lengths = {utt: soundfile.info(path).frames for utt, path in wav.items()}
        write_scp(raw / name / "wav.scp", wav)
        write_scp(raw / name / "text", dict.fromkeys(wav, "hello"))
        write_scp(raw / name / "intent", dict.fromkeys(wav, "greet"))
        write_scp(raw / name / "utt2spk", {utt: utt for utt in wav})
        write_scp(raw / name / "utt2num_samples", lengths)


@pytest.fixture(scope="module")
def runs(toy_task, sta_experiment, tmp_path_factory) -> tuple[Path, dict[str, int]]:
    """The folder of all runs, and how many of each kind were killed."""
    folder = tmp_path_factory.mktemp("runs")
    write_sets(folder / "raw", toy_task.folder / "dump" / "raw")
    sets = {"dump_dir": str(folder / "raw"), "sets": ["train", "valid"]}
    codec = sets | {"model": str(sta_experiment), "semantic_dir": str(toy_task.tokenizer)}
    (folder / "python").write_text(ECHO)
    (folder / "python").chmod(0o755)
    for name in ("1epoch.pth", "codes.ark"):
        write_text(folder / name, name)
    write_scp(folder / "codes.scp", {f"utt{n}": f"{folder / 'codes.ark'}:{n}" for n in range(5)})
    recognized = {
        "python": str(folder / "python"),
        "model": str(folder / "1epoch.pth"),
        "stream": f"{folder / 'codes.scp'},speech,kaldi_ark",
    }
    work = {
        "formatted": sets,
        "tokens": sets,
        "codes": codec,
        "decoding": codec,
        # What was made just before.
        "inputs": {"codes_dir": str(folder / "codes" / "whole" / "out"), "sets": sets["sets"]},
        "packed": {"model": str(sta_experiment)},
        "recognized": recognized,
    }
    write_text(folder / "work.json", json.dumps(work))
    command = [sys.executable, str(DRIVER), str(folder / "work.json")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the content of all files, by name; of archives that of their members."""
    files: dict[str, bytes] = {}
    for path in (path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:  # which has times as well
                files |= {f"{name}/{member}": archive.read(member) for member in archive.namelist()}
        else:
            files[name] = path.read_bytes()
    return files


@pytest.mark.parametrize("kind", KINDS)
def test_killed_runs_make_the_same_files(runs, kind):
    folder, kills = runs
    expected, at_least = KINDS[kind]
    whole, killed = (files_of(folder / kind / how / "out") for how in ("whole", "killed"))
    assert set(expected) <= set(whole)
    assert kills[kind] >= at_least
    assert sorted(killed) == sorted(whole)
    assert [name for name in whole if killed[name] != whole[name]] == []


@pytest.fixture(scope="module")
def hindered(runs):
    """Return a function: what the runs of each kind said in the end, hindered and then not."""
    folder, _ = runs

    def run(hindrance: str) -> dict[str, list[str]]:
        command = [sys.executable, str(HINDERED), str(folder / "work.json"), hindrance]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize(
    ("hindrance", "expected"),
    [
        ("full", "No space left on device; free some|File too large; free some|make room"),
        ("readonly", "Read-only file system; write to|Permission denied"),
        ("vanished", "train5|valid1|1epoch.pth|codes.scp|neither a folder|No such file"),
        ("together", ""),
    ],
)
def test_a_hindered_run_ends_with_a_sentence_and_damages_nothing(
    runs, hindered, hindrance, expected
):
    """The next run, without the hindrance, makes what an undisturbed one makes."""
    folder, _ = runs
    for kind, (first, second) in hindered(hindrance).items():
        assert first.count("\n") == 0 and "Traceback" not in first, f"{kind}: {first}"
        # Five short texts fit on the smallest disk.
        ends = bool(expected) and (hindrance, kind) != ("full", "recognized")
        assert bool(first) == bool(expected) or not ends, f"{kind}: {first}"
        assert not ends or re.search(expected, first), f"{kind}: {first}"
        assert second == "", f"{kind}: {second}"
        whole = files_of(folder / kind / "whole")
        after = files_of(folder / kind / hindrance)
        assert sorted(after) == sorted(whole), kind
        assert [name for name in whole if after[name] != whole[name]] == [], kind

"""Stages on two Dask workers: what one process makes, to the byte."""

import sys
from pathlib import Path

import pytest
from stand_in_recognizer import ECHO

from espnet_stacodec.downstream import recognition
from espnet_stacodec.downstream.code_dirs import dump_codes
from espnet_stacodec.evaluation.resynthesis import SetToDecode, decode_set
from espnet_stacodec.fileio.files import read_scp, write_scp, write_text
from espnet_stacodec.parallel import Workers

KINDS = {".npz", ".wav", ".ark"}


@pytest.fixture
def made_by(toy_task, sta_experiment, tmp_path, monkeypatch):
    """Return a function that runs both stages in a folder and returns their files and scores."""
    wav = read_scp(toy_task.folder / "dump" / "raw" / "valid" / "wav.scp")
    write_scp(tmp_path / "raw" / "valid" / "wav.scp", wav)
    write_scp(tmp_path / "raw" / "valid" / "utt2spk", {utt: utt for utt in wav})

    def make(name: str, workers: Workers) -> tuple[dict[str, bytes], list[dict]]:
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        raw, out = tmp_path / "raw", Path("decode")  # relative, as in recipes
        semantic = toy_task.tokenizer / "valid" / "semantic.scp"
        job = SetToDecode(sta_experiment, None, raw / "valid" / "wav.scp", semantic, out)
        with workers:
            rows = decode_set(job, workers)
            dump_codes(sta_experiment, raw, toy_task.tokenizer, ["valid"], Path("codes"), workers)
        files = (path for path in Path().rglob("*") if path.suffix in KINDS)
        scores = [{k: v for k, v in row.items() if "seconds" not in k} for row in rows]
        return {str(path): path.read_bytes() for path in files}, scores

    return make


def test_codes_audio_and_scores_are_the_same(made_by, tmp_path):
    cluster = tmp_path / "local.yaml"
    cluster.write_text("env: local\n")
    files, rows = made_by("one", Workers(1))
    assert {Path(name).suffix for name in files} == KINDS
    assert made_by("two", Workers(2, cluster=cluster)) == (files, rows)


def test_what_is_recognized_is_the_same(tmp_path, monkeypatch):
    cluster = tmp_path / "local.yaml"
    cluster.write_text("env: local\n")
    write_text(tmp_path / "python", ECHO)
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(recognition, "PART_UTTERANCES", 2)
    for name in ("codes.ark", "1epoch.pth"):
        write_text(tmp_path / name, name)
    utts = {f"utt{number}": f"{tmp_path / 'codes.ark'}:{number}" for number in range(5)}
    write_scp(tmp_path / "codes.scp", utts)
    made = {}
    for name, workers in (("one", Workers(1)), ("two", Workers(2, cluster=cluster))):
        out = tmp_path / name
        stream = f"{tmp_path / 'codes.scp'},speech,kaldi_ark"
        with workers:
            recognition.recognize("slu", tmp_path / "1epoch.pth", [stream], [], out, workers)
        made[name] = {path.name: path.read_bytes() for path in out.glob("*") if path.is_file()}
    assert made["one"] == made["two"] and made["one"]["text"].count(b"\n") == 5

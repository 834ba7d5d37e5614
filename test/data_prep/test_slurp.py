"""SLURP's layout into data directories with intents."""

import json
from pathlib import Path

import pytest

from espnet_stacodec.bin import prepare_slurp
from espnet_stacodec.data_prep import slurp
from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.data_dir import DataDir


def prompt(sentence: str, files: list[str], action: str = "set") -> dict:
    return {
        "sentence": sentence,
        "scenario": "alarm",
        "action": action,
        "intent": "something_else",
        "recordings": [{"file": name, "status": "correct"} for name in files],
    }


def write_corpus(
    root: Path, prompts: list[dict], on_disk: list[str], usrid: dict[str, str]
) -> None:
    for folder in ("dataset/slurp", "audio/slurp_real"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(entry) + "\n" for entry in prompts)
    (root / "dataset/slurp/devel.jsonl").write_text(lines)
    recordings = {name: {"usrid": user} for name, user in usrid.items()}
    (root / "dataset/slurp/metadata.json").write_text(json.dumps({"1": {"recordings": recordings}}))
    for name in on_disk:
        (root / "audio/slurp_real" / name).touch()


def said(root: Path, set_name: str = "devel") -> str:
    with pytest.raises(DataError) as error:
        slurp.prepare(root, [set_name], root / "data")
    assert not list(root.glob("data/*"))
    return str(error.value)


def test_lists_of_a_set(tmp_path):
    files = ["audio-2.flac", "audio--1-headset.flac", "audio-3.flac"]
    prompts = [
        prompt("wake  me up ", files[:2]),
        prompt("it's 5 p.m.", files[2:], action="query"),
    ]
    usrid = {files[0]: "FO-488", files[1]: "UNK"}
    write_corpus(tmp_path, prompts, files, usrid)
    slurp.prepare(tmp_path, ["devel"], tmp_path / "data")
    data = DataDir.read(tmp_path / "data" / "devel")
    assert data.text == {
        "audio--1-headset": "wake me up",
        "audio-2": "wake me up",
        "audio-3": "it's 5 p.m.",
    }
    assert data.intent["audio-2"] == "alarm_set" and data.intent["audio-3"] == "alarm_query"
    assert data.utt2spk == {
        "audio--1-headset": "audio--1-headset",
        "audio-2": "FO-488",
        "audio-3": "audio-3",
    }
    assert data.wav["audio-2"] == str(tmp_path / "audio/slurp_real/audio-2.flac")


def test_recording_of_two_prompts_belongs_to_the_first(tmp_path, caplog):
    prompts = [prompt("one", ["a.flac"]), prompt("two", ["a.flac"])]
    write_corpus(tmp_path, prompts, ["a.flac"], {})
    assert slurp.prepare_set(tmp_path, "devel", {}).text == {"a": "one"}
    assert "1 recordings are listed again under another prompt" in caplog.text


def test_few_missing_recordings_are_listed_many_are_an_error(tmp_path, caplog):
    files = [f"audio-{n:03d}.flac" for n in range(100)]
    write_corpus(tmp_path, [prompt("hello", files)], files[1:], {})
    assert len(slurp.prepare_set(tmp_path, "devel", {}).wav) == 99
    assert "1 of 100 recordings are not in" in caplog.text and files[0] in caplog.text
    (tmp_path / "audio/slurp_real" / files[5]).unlink()
    assert "2 of 100 recordings are not in" in said(tmp_path)


def test_bad_corpora_are_said_in_one_sentence(tmp_path):
    assert "metadata.json: this file of SLURP cannot be read" in said(tmp_path)
    write_corpus(tmp_path, [prompt(" ", ["a.flac"])], ["a.flac"], {})
    assert "devel.jsonl:1: the sentence of a.flac is empty" in said(tmp_path)
    assert "nothing.jsonl: this file of SLURP cannot be read" in said(tmp_path, "nothing")
    annotations = tmp_path / "dataset/slurp/devel.jsonl"
    annotations.write_text("")
    assert "devel.jsonl: the set has no utterances" in said(tmp_path)
    annotations.write_text('{"sentence": "hello"}\n')
    assert "devel.jsonl:1: not a prompt of SLURP (KeyError('scenario')" in said(tmp_path)
    annotations.write_text('{"sentence": "hel\n')
    assert "devel.jsonl:1: this line is not JSON" in said(tmp_path)
    annotations.write_text('["hello"]\n')
    assert "devel.jsonl:1: not a prompt of SLURP" in said(tmp_path)
    (tmp_path / "dataset/slurp/metadata.json").write_text("[]")
    assert "metadata.json: not SLURP's metadata" in said(tmp_path)


def test_command_says_how_to_get_the_corpus():
    with pytest.raises(SystemExit) as end:
        prepare_slurp.main(["--corpus", "", "--sets", "train"])
    assert "scripts/download_audio.sh" in str(end.value.code)


def test_stand_in(shared, tmp_path):
    corpus = shared / "data" / "slurp"
    if not corpus.is_dir():
        pytest.skip("../shared/data/slurp is not there")
    prepare_slurp.main(
        ["--corpus", str(corpus), "--out_dir", str(tmp_path), "--sets", "train", "devel", "test"]
    )
    sizes = {name: len(DataDir.read(tmp_path / name).wav) for name in ("train", "devel", "test")}
    assert sizes == {"train": 253, "devel": 56, "test": 56}
    intents = set(DataDir.read(tmp_path / "test").intent.values())
    assert len(intents) == 10 and "order_drip_coffee" in intents

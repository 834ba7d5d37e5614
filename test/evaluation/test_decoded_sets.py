"""Results of the sets that stage 6 decodes call by call."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from espnet_stacodec import AudioCoding
from espnet_stacodec.bin import decode as command
from espnet_stacodec.errors import StageError
from espnet_stacodec.evaluation import decoded_sets
from espnet_stacodec.evaluation.decoded_sets import write_decoded
from espnet_stacodec.evaluation.report.system import System
from espnet_stacodec.fileio.files import write_text
from espnet_stacodec.fileio.temporaries import exclusive
from espnet_stacodec.inference.audio_coding import load_once

ROW: dict[str, Any] = {
    "utt": "a",
    "speaker": None,
    "status": "ok",
    "num_samples": 16000,
    "sample_rate": 16000,
}
ROW |= {"encode_seconds": 0.1, "decode_seconds": 0.2}


@pytest.fixture
def scored(tmp_path: Path, plain: AudioCoding):
    """(set, stoi, number of codebooks): decodes a set and writes the results; returns the sets."""

    def score(name: str, stoi: float, n_codebooks: int | None = None) -> dict[str, Any]:
        rows = [ROW | {"stoi": stoi}]
        folder = tmp_path / name
        for part in ("decoded.jsonl", "codes.scp", "wav.scp"):
            write_text(folder / part, "a\n")
        write_text(folder / "scores.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        made: dict[str, Any] = {"data": {"codec": plain.fingerprint}}
        made |= {"configuration": {"n_codebooks": n_codebooks or plain.n_codebooks}}
        write_text(folder / "provenance.yaml", yaml.safe_dump(made))
        table = write_decoded(tmp_path, "T", {name: rows}, plain, n_codebooks)
        assert (tmp_path / "RESULTS.md").read_text() == table
        results = json.loads((tmp_path / "results.json").read_text())
        assert results["codec"] == plain.fingerprint
        return results["sets"]

    return score


def stois(sets: dict[str, Any]) -> dict[str, float]:
    return {name: summary["stoi"] for name, summary in sets.items()}


def test_earlier_sets_stay_in_their_order(scored):
    scored("test", 0.5)
    sets = scored("dev", 0.6)
    assert list(sets) == ["test", "dev"] and stois(sets) == {"test": 0.5, "dev": 0.6}
    assert sets["test"]["rtf_encode"] == pytest.approx(0.1) and sets["test"]["kbps"] == 0.6
    sets = scored("test", 0.7)
    assert list(sets) == ["test", "dev"] and stois(sets) == {"test": 0.7, "dev": 0.6}


@pytest.mark.parametrize(
    "lost", ["decoded.jsonl", "codes.scp", "wav.scp", "scores.jsonl", "provenance.yaml", ""]
)
def test_sets_that_are_gone_or_not_whole_are_dropped(scored, tmp_path, lost):
    scored("test", 0.5)
    if lost:
        (tmp_path / "test" / lost).unlink()
    else:
        shutil.rmtree(tmp_path / "test")
    assert stois(scored("dev", 0.6)) == {"dev": 0.6}


def test_what_a_killed_call_left_is_dropped(scored, tmp_path):
    scored("test", 0.5)
    write_text(tmp_path / "test" / "scores.jsonl", json.dumps({"utt": "a", "stoi": 1.0}) + "\n")
    assert stois(scored("dev", 0.6)) == {"dev": 0.6}


@pytest.mark.parametrize(
    "change", [("data", "codec", "0" * 16), ("configuration", "precision", "bfloat16"), None]
)
def test_sets_of_another_codec_are_dropped(scored, tmp_path, change, caplog):
    scored("test", 0.5)
    path = tmp_path / "test" / "provenance.yaml"
    made = yaml.safe_load(path.read_text())
    if change:
        made[change[0]][change[1]] = change[2]
    write_text(path, yaml.safe_dump(made) if change else "[]\n")
    with caplog.at_level(logging.WARNING):
        assert stois(scored("dev", 0.6)) == {"dev": 0.6}
    assert f"{tmp_path}/test: decoded with another codec" in caplog.text


def test_sets_of_another_number_of_codebooks_are_dropped(scored):
    scored("test", 0.5)
    assert stois(scored("dev", 0.6, 2)) == {"dev": 0.6}
    assert stois(scored("test", 0.4, 2)) == {"dev": 0.6, "test": 0.4}


def test_results_that_cannot_be_read_do_no_harm(scored, tmp_path):
    scored("test", 0.5)
    for content in ("", "{}", "[]"):
        write_text(tmp_path / "results.json", content)
        assert stois(scored("dev", 0.6)) == {"dev": 0.6, "test": 0.5}


def test_one_call_at_a_time_writes(scored, tmp_path, monkeypatch):
    write = decoded_sets.write_results

    def locked(folder: Path, *args: Any, **kwargs: Any) -> str:
        with pytest.raises(StageError, match="is writing here"), exclusive(folder, wait=False):
            pass
        return write(folder, *args, **kwargs)

    monkeypatch.setattr(decoded_sets, "write_results", locked)
    assert stois(scored("test", 0.5)) == {"test": 0.5}


def test_a_page_of_a_set_without_scores_says_so(scored, tmp_path):
    scored("test", 0.5)
    system = System(tmp_path.parent, "dev", tmp_path.name)
    with pytest.raises(StageError, match=r"no scores of dev in it, only of test; decode the set"):
        _ = system.summary


def test_the_command_twice_and_with_another_checkpoint(toy_task, plain_experiment, tmp_path):
    folder = Path(shutil.copytree(plain_experiment, tmp_path / "exp"))
    out = folder / "decode"
    options = ["--model", str(folder), "--dump_dir", str(toy_task.folder / "dump" / "raw"),
               "--out_dir", str(out), "--metrics", "spectral"]  # fmt: skip

    def sets() -> dict[str, Any]:
        return json.loads((out / "results.json").read_text())["sets"]

    command.main([*options, "--sets", "valid"])
    once = sets()
    command.main([*options, "--sets", "train"])
    both = sets()
    assert list(both) == ["valid", "train"] and both["valid"] == once["valid"]
    (out / "results.json").unlink()
    command.main([*options, "--sets", "valid", "train"])  # not by their names
    assert sets() == both and list(sets()) == ["valid", "train"]
    best = folder / "valid.mel_loss.best.pth"
    state = torch.load(best, weights_only=True)
    state["codec.generator.decoder.model.0.conv.conv.bias"] += 1
    best.unlink()  # a link
    torch.save(state, best)
    load_once.cache_clear()  # a call of the command is a process
    command.main([*options, "--sets", "train"])
    assert list(sets()) == ["train"]

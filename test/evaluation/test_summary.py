"""One table of several systems."""

import json
from pathlib import Path

import pytest

from espnet_stacodec.errors import StageError
from espnet_stacodec.evaluation.summary import summarize_systems


def results(path: Path, sets: dict, **others: dict) -> Path:
    path.write_text(json.dumps({"title": "t", "sets": sets, **others}))
    return path


def test_a_row_for_each_system_and_one_for_chance(tmp_path):
    codec = results(
        tmp_path / "codec.json", {"test": {"pesq_wb": 1.234, "stoi": 0.8, "kbps": 4.0}, "other": {}}
    )
    asr = results(
        tmp_path / "asr.json",
        {"test": {"wer": {"err": 12.34}, "cer": {"err": 5.0}}},
        chance={"test": {"wer": {"err": 93.0}, "cer": {"err": 70.0}}},
    )
    words = {"wer": {"err": 45.0}, "cer": {"err": 40.0}}  # of a model that also says intents
    slu = results(
        tmp_path / "slu.json",
        {"test": {"intent": {"accuracy": 90.0}, **words}},
        chance={"test": {"wer": {"err": 118.0}, "cer": {"err": 90.0}}},
    )
    table = summarize_systems({"sta": [codec, slu, asr], "undefined": [codec]}, "test")
    lines = table.splitlines()
    assert lines[0].startswith("| system | PESQ-WB | STOI | kbit/s | WER (%) |")
    assert lines[2] == "| sta | 1.23 | 0.800 | 4.00 | 12.3 | 5.0 | 90.0 |"
    assert lines[3] == "| undefined | 1.23 | 0.800 | 4.00 | - | - | - |"
    assert lines[4] == "| majority class | - | - | - | 93.0 | 70.0 | - |"


def test_a_metric_that_is_not_defined_has_no_figure(tmp_path):
    codec = results(tmp_path / "codec.json", {"test": {"pesq_wb": None, "stoi": 0.8, "kbps": 4.0}})
    other = results(tmp_path / "other.json", {"test": {"pesq_wb": 1.5, "stoi": 0.8}})
    table = summarize_systems({"sta": [codec], "other": [other]}, "test")
    assert "| sta | - | 0.800 | 4.00 |" in table and "| other | 1.50 | 0.800 | - |" in table


def test_a_metric_that_no_system_has_has_no_column(tmp_path):
    slu = results(tmp_path / "slu.json", {"test": {"scenario": {"accuracy": 90.0}}})
    table = summarize_systems({"sta": [slu]}, "test")
    assert table.splitlines()[0] == "| system | scenario accuracy (%) |"


def test_results_that_are_not_there(tmp_path):
    with pytest.raises(StageError, match=r"no.json: not there; run the recipe"):
        summarize_systems({"sta": [tmp_path / "no.json"]}, "test")


def test_a_set_that_was_not_scored(tmp_path):
    codec = results(tmp_path / "codec.json", {"dev": {}})
    with pytest.raises(StageError, match=r"codec.json: no scores of test; it has dev"):
        summarize_systems({"sta": [codec]}, "test")

"""Tables of scores, for people and for programs."""

import json

import pytest

from espnet_stacodec.evaluation.results import summarize, write_results


def row(pesq: float | None, stoi: float = 0.9, si_sdr: float | None = 3.0) -> dict:
    return {
        "utt": "u",
        "num_samples": 16000,
        "encode_seconds": 0.1,
        "decode_seconds": 0.3,
        "pesq": pesq,
        "stoi": stoi,
        "si_sdr": si_sdr,
        "mel_distance": 0.25,
    }


def test_means_worked_by_hand():
    rows = [row(1.0), row(2.0, 0.7), row(None, si_sdr=None)]
    rows[0]["num_samples"] = 48000
    summary = summarize(rows, 4.0)
    assert summary["utterances"] == 3 and summary["kbps"] == 4.0
    assert summary["pesq"] == 1.5 and summary["pesq_undefined"] == 1
    assert summary["stoi"] == pytest.approx((0.9 + 0.7 + 0.9) / 3)
    assert summary["si_sdr"] == 3.0 and summary["si_sdr_undefined"] == 1
    assert summary["stoi_undefined"] == summary["mel_distance_undefined"] == 0
    # 0.3 and 0.9 seconds for 5 seconds of audio.
    assert summary["rtf_encode"] == pytest.approx(0.06)
    assert summary["rtf_decode"] == pytest.approx(0.18)


def test_the_table_and_the_line_say_the_same(tmp_path):
    summaries = {
        "dev": summarize([row(1.234), row(None)], 4.0),
        "test": summarize([row(None)], 4.0),
    }
    table = write_results(tmp_path, "A title", summaries)
    assert (tmp_path / "RESULTS.md").read_text() == table
    lines = table.splitlines()
    assert lines[0] == "# A title"
    assert lines[2].startswith("| dataset | utterances | PESQ-WB | STOI |")
    assert lines[4] == "| dev | 2 | 1.23 | 0.900 | 3.00 | 0.250 | 4.00 | 0.100 | 0.300 |"
    assert lines[5].startswith("| test | 1 | nan | 0.900 |")
    assert len({line.count("|") for line in lines[2:6]}) == 1
    notes = [line for line in lines[6:] if line]
    assert len(notes) == 2
    assert notes[0].startswith("dev: pesq is not defined for 1 utterances")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    line = (tmp_path / "results.json").read_text()
    assert line.count("\n") == 1 and line.endswith("\n")
    found = json.loads(line, parse_constant=refuse)
    assert found["title"] == "A title"
    assert found["sets"]["dev"]["pesq"] == 1.234
    assert found["sets"]["test"]["pesq"] is None
    assert found["sets"]["test"]["pesq_undefined"] == 1


def test_without_undefined_scores_there_are_no_notes(tmp_path):
    table = write_results(tmp_path, "A title", {"dev": summarize([row(1.0)], 4.0)})
    assert len(table.splitlines()) == 5

"""Tables of scores, for people and for programs."""

import json

import pytest

from espnet_stacodec.evaluation.results import costs, write_results
from espnet_stacodec.evaluation.summaries import compare, summarize


def row(utt: str, pesq: float | None, **others) -> dict:
    return {"utt": utt, "speaker": None, "status": "ok", "pesq_wb": pesq, "stoi": 0.9} | others


def test_costs_worked_by_hand():
    rows = [
        {"num_samples": 48000, "sample_rate": 16000, "encode_seconds": 0.1, "decode_seconds": 0.3},
        {"num_samples": 32000, "sample_rate": 16000, "encode_seconds": 0.2, "decode_seconds": 0.6},
    ]
    found = costs(rows, 4.0)
    assert found["kbps"] == 4.0
    assert found["rtf_encode"] == pytest.approx(0.06)  # 0.3 and 0.9 s for 5 s of audio
    assert found["rtf_decode"] == pytest.approx(0.18)


def test_the_table_and_the_line_say_the_same(tmp_path):
    dev = [row("a", 1.234), row("b", None), row("c", None, status="silent", stoi=None)]
    summaries = {
        "dev": summarize(dev) | {"kbps": 4.0},
        "test": summarize([row("a", None)]) | {"kbps": 4.0, "missing": 2},
    }
    table = write_results(tmp_path, "A title", summaries)
    assert (tmp_path / "RESULTS.md").read_text() == table
    lines = table.splitlines()
    assert lines[0] == "# A title"
    assert lines[2] == "|  | dev | test |"
    assert "| utterances | 3 | 1 |" in lines and "| speakers | not known | not known |" in lines
    assert "| PESQ-WB | 1.23 | - |" in lines
    assert "| STOI | 0.900 (0.900 to 0.900) | 0.900 |" in lines
    assert "| kbit/s | 4.00 | 4.00 |" in lines
    assert "- dev: PESQ-WB is not defined for 1 utterances." in lines
    assert "- dev: 1 utterances are silent, and counted apart." in lines
    assert "- test: 2 originals have no resynthesis, and are not scored." in lines

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    line = (tmp_path / "results.json").read_text()
    assert line.count("\n") == 1 and line.endswith("\n")
    found = json.loads(line, parse_constant=refuse)
    assert found["title"] == "A title" and "differences" not in found
    assert found["sets"]["dev"]["pesq_wb"] == 1.234
    assert found["sets"]["dev"]["pesq_wb_interval"] is None  # of one utterance
    assert found["sets"]["test"]["pesq_wb"] is None
    assert found["sets"]["test"]["pesq_wb_undefined"] == 1


def test_few_speakers_are_a_caution(tmp_path):
    rows = [row(f"u{i}", float(i), speaker=f"s{i % 3}") for i in range(9)]
    table = write_results(tmp_path, "T", {"test": summarize(rows)})
    assert "other utterances of these 3 speakers, not for other speakers" in table
    one = [line | {"speaker": "s0"} for line in rows]
    table = write_results(tmp_path, "T", {"test": summarize(one)})
    assert "other utterances of this speaker, not for other speakers" in table
    many = [line | {"speaker": f"s{i % 6}"} for i, line in enumerate(rows)]
    assert "not for other speakers" not in write_results(tmp_path, "T", {"test": summarize(many)})


def test_clear_differences_are_bold(tmp_path):
    one = [row(f"u{i}", float(i)) for i in range(9)]
    other = [line | {"pesq_wb": line["pesq_wb"] + 1} for line in one]
    differences = {"B less A": compare(one, other)}
    table = write_results(tmp_path, "T", {"A": summarize(one), "B": summarize(other)}, differences)
    assert "| PESQ-WB | **1.00 (1.00 to 1.00)** |" in table
    assert "| STOI | 0.000 (0.000 to 0.000) |" in table
    found = json.loads((tmp_path / "results.json").read_text())["differences"]["B less A"]
    assert found["figures"]["pesq_wb"]["difference"] == 1

"""Figures of sets, and differences of systems, worked by hand."""

import json

import pytest

from espnet_stacodec.evaluation.summaries import compare, summarize


def row(utt: str, pesq: float | None, **others) -> dict:
    return {"utt": utt, "speaker": None, "status": "ok", "pesq_wb": pesq, "stoi": 0.5} | others


def test_means_and_what_is_not_defined():
    rows = [row("a", 1.0), row("b", 2.0), row("c", None), row("d", None, status="silent")]
    summary = summarize(rows)
    assert summary["utterances"] == 4 and summary["speakers"] is None
    assert summary["pesq_wb"] == 1.5 and summary["pesq_wb_undefined"] == 1
    low, high = summary["pesq_wb_interval"]
    assert 1 <= low < 1.5 < high <= 2
    assert summary["statuses"] == {"silent": 1}
    assert summary["text_is"] is None and "wer_resynthesis" not in summary
    json.dumps(summary, allow_nan=False)


def test_error_rates_are_of_all_words_together():
    errors = {"text_is": "transcript", "word_errors_original": 0, "char_errors_original": 1}
    rows = [
        row("a", 1.0, words=9, chars=40, word_errors=0, char_errors=0, **errors),
        row("b", 1.0, words=1, chars=10, word_errors=2, char_errors=5, **errors),
    ]
    summary = summarize(rows)
    assert summary["wer_resynthesis"] == pytest.approx(20)  # 2 of 10 words
    assert summary["cer_resynthesis"] == pytest.approx(10)
    assert summary["wer_original"] == 0 and summary["cer_original"] == pytest.approx(4)
    assert summary["text_is"] == "transcript"


def test_intervals_are_over_speakers_where_there_are_enough():
    rows = [row(f"u{i}", float(i % 7), speaker=f"s{i % 7}") for i in range(70)]
    summary = summarize(rows)
    assert summary["intervals_over"] == "speakers" and summary["speakers"] == 7
    few = summarize([line | {"speaker": "s"} for line in rows])
    assert few["intervals_over"] == "utterances" and few["speakers"] == 1
    by_utterance = few["pesq_wb_interval"]
    assert summary["pesq_wb_interval"][0] < by_utterance[0]


def test_figures_of_other_programs():
    summary = summarize([row("a", 1.0, versa_utmos=3.0), row("b", 1.0, versa_utmos=4.0)])
    assert summary["versa_utmos"] == 3.5 and summary["versa_utmos_undefined"] == 0


def test_differences_are_paired_and_of_shared_utterances():
    one = [row(name, float(i), dnsmos_original=1.0) for i, name in enumerate("abcdef")]
    other = [line | {"pesq_wb": line["pesq_wb"] + 0.5} for line in one[1:]]
    found = compare(one, other)
    assert found["utterances"] == 5 and "dnsmos_original" not in found["figures"]
    pesq = found["figures"]["pesq_wb"]
    assert pesq["difference"] == pytest.approx(0.5) and pesq["clear"]
    assert pesq["interval"] == pytest.approx([0.5, 0.5])
    assert not found["figures"]["stoi"]["clear"]
    json.dumps(found, allow_nan=False)


def test_systems_without_shared_utterances():
    assert compare([row("a", 1.0)], [row("b", 1.0)])["utterances"] == 0

"""Scores of recognized text."""

import json
from pathlib import Path

import pytest

from espnet_stacodec.downstream.scoring import (
    read_pair,
    score_classes,
    score_words,
    write_scores,
)
from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.files import write_scp, write_text

REFERENCES = {"a": "PLAY MUSIC", "b": "STOP", "c": "PLAY THE RADIO", "d": "STOP"}


def test_what_was_said_has_no_errors():
    for characters in (False, True):
        scores = score_words(REFERENCES, REFERENCES, characters)
        assert scores["corr"] == 100 and scores["err"] == scores["s_err"] == 0
    assert score_classes(REFERENCES, REFERENCES)["accuracy"] == 100


def test_errors_of_words_by_hand():
    hypotheses = {"a": "PLAY MAGIC", "b": "", "c": "PLAY RADIO", "d": "STOP IT NOW"}
    scores = score_words(REFERENCES, hypotheses)
    # Of 7 words: MUSIC substituted, STOP and THE deleted, IT and NOW inserted.
    seventh = 100 / 7
    expected = {"corr": 4, "sub": 1, "del": 2, "ins": 2, "err": 5}
    assert scores == {
        "snt": 4,
        "wrd": 7,
        "s_err": 100,
        **{name: pytest.approx(count * seventh) for name, count in expected.items()},
    }


def test_errors_of_characters_by_hand():
    scores = score_words({"a": "ON A"}, {"a": "ONTO"}, characters=True)
    # The blank is a character: O and N are right, the blank and A are substituted.
    assert (scores["wrd"], scores["corr"], scores["sub"]) == (4, 50, 50)


def test_rates_are_of_all_words_together():
    scores = score_words({"a": "A B C D E F G H I", "b": "A"}, {"a": "A B C D E F G H I", "b": "B"})
    assert scores["err"] == 10 and scores["s_err"] == 50


def test_nothing_recognized_is_deleted():
    scores = score_words(REFERENCES, dict.fromkeys(REFERENCES, ""))
    assert scores["del"] == scores["err"] == 100 and scores["ins"] == 0


def test_intents_by_hand():
    hypotheses = {"a": "PLAY", "b": "PLAY SOME", "c": "STOP", "d": "PLAY"}
    scores = score_classes(REFERENCES, hypotheses)
    assert scores == {
        "snt": 4,
        "right": 1,
        "accuracy": 25.0,
        "confusions": [["STOP", "PLAY", 2], ["PLAY", "STOP", 1]],
    }
    nothing = score_classes(REFERENCES, dict.fromkeys(REFERENCES, " "))
    assert nothing["confusions"] == [["PLAY", "(nothing)", 2], ["STOP", "(nothing)", 2]]


@pytest.fixture
def pairs(tmp_path) -> dict[str, tuple[Path, Path]]:
    """One set: intents and words of three utterances, the second with nothing recognized."""
    write_scp(
        tmp_path / "train", {"t1": "stop STOP", "t2": "play A", "t3": "play B", "t4": "play B"}
    )
    write_scp(tmp_path / "said", {"a": "play B", "b": "play A", "c": "stop STOP NOW"})
    write_text(tmp_path / "heard", "a play B\nb\nc stop STOP\n")
    return {"test": (tmp_path / "said", tmp_path / "heard")}


def test_hypotheses_may_be_empty_but_not_missing(pairs):
    said, heard = pairs["test"]
    references, hypotheses = read_pair(said, heard)
    assert list(references) == list(hypotheses) and hypotheses["b"] == ""
    write_text(heard, "a play B\n")
    with pytest.raises(DataError, match=r"heard: 2 utterances of .*said are missing \(first: b\)"):
        read_pair(said, heard)


def write(pairs, tmp_path, target):
    """Return the tables and what results.json holds."""
    table = write_scores(target, "a title", tmp_path / "train", pairs, tmp_path / "out")
    assert (tmp_path / "out" / "RESULTS.md").read_text() == table
    assert table.startswith("# a title\n")
    lines = (tmp_path / "out" / "results.json").read_text().splitlines()
    assert len(lines) == 1
    results = json.loads(lines[0])
    assert results["title"] == "a title"
    assert list(results["sets"]) == list(results["chance"]) == ["test"]
    return table, {"test": results["sets"]["test"], "chance": results["chance"]["test"]}


def test_tables_of_words(pairs, tmp_path):
    table, scores = write(pairs, tmp_path, "words")
    assert "Intents" not in table
    # Of 7 words four are right, NOW and both of b are deleted.
    wer = "| test | 3 | 7 | 57.1 | 0.0 | 42.9 | 0.0 | 42.9 | 66.7 |"
    # `play B` for all: `A` is substituted in b, two words are in c and one is deleted.
    chance = "| test, majority class | 3 | 7 | 42.9 | 42.9 | 14.3 | 0.0 | 57.1 | 66.7 |"
    head = "## WER\n\n| dataset | Snt | Wrd | Corr | Sub | Del | Ins | Err | S.Err |\n"
    assert f"{head}|{'---|' * 9}\n{wer}\n{chance}\n" in table
    # Of 25 characters, 6 of b and 4 of c.
    assert "## CER" in table and scores["test"]["cer"]["wrd"] == 25
    assert scores["test"]["cer"]["del"] == pytest.approx(40)


def test_tables_of_intents(pairs, tmp_path):
    table, scores = write(pairs, tmp_path, "intent")
    assert "WER" not in table and set(scores["test"]) == {"intent"}
    assert "| test | 3 | 2 | 66.7 |\n| test, majority class | 3 | 2 | 66.7 |" in table
    assert table.endswith(
        "| intent | recognized as | times |\n|---|---|---|\n| play | (nothing) | 1 |\n"
    )
    assert scores["chance"]["intent"]["confusions"] == [["stop", "play", 1]]


def test_tables_say_how_many_classes_there_are(pairs, tmp_path):
    table, _ = write(pairs, tmp_path, "intent")
    assert "## Intents, 2 of them in training\n" in table
    table, scores = write(pairs, tmp_path, "scenario")
    assert "## Scenarios, 2 of them in training\n" in table and set(scores["test"]) == {"scenario"}
    assert "| scenario | recognized as | times |" in table


def test_the_intent_is_not_one_of_the_words(pairs, tmp_path):
    table, scores = write(pairs, tmp_path, "intent_words")
    assert scores["test"]["intent"]["right"] == 2
    assert scores["test"]["wer"]["wrd"] == 4  # B, A, STOP NOW
    assert scores["test"]["wer"]["del"] == 50
    # The majority intent comes with its most frequent words: B, which is right once.
    assert scores["chance"]["wer"]["corr"] == 25
    assert table.index("## Intents") < table.index("## WER") < table.index("## CER")


def test_hypotheses_with_other_line_separators(pairs):
    said, heard = pairs["test"]
    write_text(heard, "a play\u2028B\nb play A\nc stop\n")
    assert list(read_pair(said, heard)[1]) == ["a", "b", "c"]

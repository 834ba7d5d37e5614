"""Kaldi-style data directories."""

import dataclasses

import pytest

from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.data_dir import DataDir, Segment, parse_segment
from espnet_stacodec.fileio.files import read_scp, write_scp

WHOLE = DataDir(
    wav={"a1": "a1.wav", "a2": "a2.wav", "b1": "b1.wav"},
    text={"a1": "one", "a2": "two words", "b1": "three"},
    utt2spk={"a1": "ann", "a2": "ann", "b1": "bob"},
    intent={"a1": "x", "a2": "y", "b1": "x"},
)


def test_a_set_comes_back_as_it_was_written(tmp_path):
    WHOLE.write(tmp_path)
    assert DataDir.read(tmp_path) == WHOLE
    assert read_scp(tmp_path / "spk2utt") == {"ann": "a1 a2", "bob": "b1"}


def test_transcripts_and_intents_are_optional(tmp_path):
    WHOLE.write(tmp_path)
    bare = DataDir(WHOLE.wav, {}, WHOLE.utt2spk)
    bare.write(tmp_path)  # what the set before had is gone
    assert {path.name for path in tmp_path.iterdir()} == {"wav.scp", "utt2spk", "spk2utt"}
    assert DataDir.read(tmp_path) == bare


def test_a_transcript_may_be_empty_but_not_missing(tmp_path):
    silent = dataclasses.replace(WHOLE, text={**WHOLE.text, "a2": ""})
    silent.write(tmp_path)
    assert DataDir.read(tmp_path) == silent


SEGMENTED = DataDir(
    wav={"r1": "r1.wav", "r2": "r2.wav"},
    text={},
    utt2spk={"a1": "ann", "a2": "ann"},
    segments={"a1": "r1 0 1.5", "a2": "r1 1.5 -1"},
)


def test_segments_are_the_utterances(tmp_path):
    SEGMENTED.write(tmp_path)
    assert DataDir.read(tmp_path) == SEGMENTED
    assert list(SEGMENTED.utterances) == ["a1", "a2"] and list(WHOLE.utterances) == list(WHOLE.wav)
    part = SEGMENTED.select({"a2"})
    assert part.segments == {"a2": "r1 1.5 -1"} and part.wav == SEGMENTED.wav
    assert parse_segment("r1 1.5 -1", "") == Segment("r1", 1.5, None)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("r1 0", r"a: 'r1 0' is not `<recording> <start> <end>`"),
        ("r1 0 1 2", "is not `<recording>"),
        ("r1 0 end", "is not `<recording>"),
        ("r1 2 1.5", r"a: there is nothing between 2 and 1\.5 s"),
        ("r1 -1 1", "nothing between -1 and 1 s"),
        ("r1 nan 1", "nothing between nan"),
        ("r1 0 inf", "nothing between 0 and inf"),
    ],
)
def test_malformed_segments(value, message):
    with pytest.raises(DataError, match=message):
        parse_segment(value, "a")


def test_a_part_of_a_set():
    part = WHOLE.select({"a2", "b1", "other"})
    assert part.wav == {"a2": "a2.wav", "b1": "b1.wav"}
    assert all(set(entries) == {"a2", "b1"} for entries in part.lists().values())


@pytest.mark.parametrize(
    ("name", "entries", "message"),
    [
        ("text", {"a1": "one", "a2": "two"}, "b1 is missing in text"),
        ("utt2spk", {"a1": "s", "a2": "s", "b1": "s", "c1": "s"}, "c1 is missing in wav.scp"),
        ("intent", {"a1": "x"}, "a2 is missing in intent"),
        (
            "segments",
            {"a1": "r 0 1", "a2": "a1 0 1"},
            "segments: a1 is part of recording 'r', which",
        ),
        ("segments", {"a1": "a1 0 1", "a2": "a1 1 2"}, "b1 is missing in segments"),
    ],
)
def test_lists_that_disagree(tmp_path, name, entries, message):
    WHOLE.write(tmp_path)
    write_scp(tmp_path / name, entries)
    with pytest.raises(DataError, match=message):
        DataDir.read(tmp_path)


def test_a_set_without_utterances_is_not_written(tmp_path):
    with pytest.raises(DataError, match="the set has no utterances"):
        WHOLE.select(set()).write(tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_wav_scp_comes_last(tmp_path, monkeypatch):
    """A folder that has it is complete."""
    order = []
    monkeypatch.setattr(
        "espnet_stacodec.fileio.data_dir.write_scp", lambda path, entries: order.append(path.name)
    )
    WHOLE.write(tmp_path)
    assert order[-1] == "wav.scp" and set(order[:-1]) == {"spk2utt", "text", "utt2spk", "intent"}

"""Kaldi-style data directories."""

import pytest

from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.data_dir import DataDir
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


def test_intents_are_optional(tmp_path):
    DataDir(WHOLE.wav, WHOLE.text, WHOLE.utt2spk).write(tmp_path)
    assert not (tmp_path / "intent").exists()
    assert DataDir.read(tmp_path).intent == {}


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
        ("wav.scp", {"a1": "1", "a2": "sox 2 |", "b1": "3"}, r"a2 is a command \('sox 2 \|'\)"),
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

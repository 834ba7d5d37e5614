"""Which files are compared with which."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_stacodec.errors import DataError
from espnet_stacodec.evaluation.audio_sets import AudioSet, pair_sets
from espnet_stacodec.fileio.files import write_scp


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.zeros(800), 8000)
    return folder


def test_names_are_paths_without_endings(tmp_path):
    one = AudioSet.open(make(tmp_path / "one", "a/x.wav", "b/x.wav", "y.1.flac"))
    other = AudioSet.open(make(tmp_path / "other", "a/x.flac", "b/x.mp3", "y.1.wav"))
    assert list(one.audio) == ["a/x", "b/x", "y.1"] == list(other.audio)
    pairs = pair_sets(one.audio, other.audio, "other")
    assert pairs["b/x"].reference.endswith("one/b/x.wav")
    assert pairs["b/x"].estimate.endswith("other/b/x.mp3")


def test_a_single_file(tmp_path):
    folder = make(tmp_path / "ä b", "a/x.y.WAV")
    assert AudioSet.open(folder / "a/x.y.WAV").audio == {"x.y": f"{folder}/a/x.y.WAV"}
    with pytest.raises(DataError, match=r"x\.wav: neither a folder of audio nor a list of it"):
        AudioSet.open(folder / "x.wav")


def test_a_data_directory_brings_speakers_and_transcripts(tmp_path):
    audio = make(tmp_path, "a.wav", "b.wav")
    write_scp(tmp_path / "wav.scp", {name: audio / f"{name}.wav" for name in "ab"})
    write_scp(tmp_path / "utt2spk", {"a": "s", "b": "t"})
    write_scp(tmp_path / "text", {"a": "hello", "b": ""})
    found = AudioSet.open(tmp_path)
    assert found.speakers == {"a": "s", "b": "t"} and found.texts == {"a": "hello", "b": ""}
    assert AudioSet.open(tmp_path / "wav.scp") == AudioSet(found.audio)


def test_speakers_in_names(tmp_path):
    found = AudioSet.open(make(tmp_path, "s1/a.wav", "s2/a.wav"))
    assert found.speakers == {}
    assert found.with_speakers("folder").speakers == {"s1/a": "s1", "s2/a": "s2"}
    assert found.with_speakers("s([0-9])").speakers == {"s1/a": "1", "s2/a": "2"}


def test_what_has_no_partner_is_said(tmp_path, caplog):
    pairs = pair_sets({"a": "1", "b": "2"}, {"b": "3", "c": "4", "d": "5"}, "hyp")
    assert list(pairs) == ["b"]
    assert "hyp: 1 originals have no resynthesis: a" in caplog.text
    assert "hyp: 2 have no original: c, d" in caplog.text


def test_nothing_to_compare(tmp_path):
    with pytest.raises(DataError, match=r"hyp: no file has the name of an original, e.g. a;"):
        pair_sets({"a": "1"}, {"b": "3"}, "hyp")
    with pytest.raises(DataError, match="no: neither a folder of audio nor a list"):
        AudioSet.open(tmp_path / "no")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: there are no files in it"):
        AudioSet.open(tmp_path / "empty")
    with pytest.raises(DataError, match="would both become"):
        AudioSet.open(make(tmp_path / "twice", "a.wav", "a.flac"))

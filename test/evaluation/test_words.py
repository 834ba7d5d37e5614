"""Words of a recognizer, and their errors."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_stacodec.errors import ConfigError, DataError
from espnet_stacodec.evaluation import words
from espnet_stacodec.evaluation.words import (
    Recognition,
    recognition_of,
    recognize_files,
    word_errors,
)
from espnet_stacodec.fileio.files import read_scp
from espnet_stacodec.parallel import Workers


def test_errors_worked_by_hand():
    rows = word_errors(
        originals={"a": "Mister Smith, hello!", "b": "good day"},
        estimates={"a": "mr. smith yellow", "b": "Good bay."},
        texts={"a": "MR SMITH HELLO"},
        normalizer="english",
    )
    a, b = rows["a"], rows["b"]
    assert a["text"] == "mister smith hello" == a["heard_original"]  # normalized alike
    assert (a["words"], a["word_errors"], a["word_errors_original"]) == (3, 1, 0)
    assert (a["chars"], a["char_errors"]) == (18, 2) and a["text_is"] == "transcript"
    # Without a transcript the words of the original stand for it.
    assert b["text"] == "good day" and b["text_is"] == "recognized original"
    assert b["word_errors"] == 1 == b["char_errors"] and b["word_errors_original"] is None


def test_nothing_said_and_nothing_heard():
    rows = word_errors({"a": "", "b": "x"}, {"a": "x y", "b": ""}, {"a": ""}, "basic")
    assert (rows["a"]["words"], rows["a"]["word_errors"]) == (0, 2)
    assert (rows["b"]["words"], rows["b"]["word_errors"]) == (1, 1)


def test_other_languages_keep_their_letters():
    found = word_errors({"a": ""}, {"a": "la straße"}, {"a": "La Straße!"}, "basic")
    assert found["a"]["word_errors"] == 0


def test_an_unknown_normalizer():
    with pytest.raises(ConfigError, match="--normalizer: 'latin' is unknown; known are english"):
        recognition_of(None, None, "latin", "cpu")
    assert recognition_of(None, None, "basic", "cpu") is None


@pytest.fixture
def recognized(monkeypatch) -> list[float]:
    """A recognizer that says how loud audio is; what it has heard."""
    heard: list[float] = []

    def recognize(wave: np.ndarray) -> str:
        heard.append(float(np.abs(wave).max()))
        return f"loud\n {heard[-1]:.1f}" if heard[-1] else ""

    monkeypatch.setattr(words, "recognizer_once", lambda *args: recognize)
    return heard


def make(folder: Path, **levels: float) -> dict[str, str]:
    for name, level in levels.items():
        soundfile.write(folder / f"{name}.wav", np.full(8000, level), 16000, "FLOAT")
    return {name: str(folder / f"{name}.wav") for name in levels}


def test_words_of_files_are_kept(tmp_path, recognized):
    files = make(tmp_path, b=0.5, a=0.0)
    recognition = Recognition(tmp_path / "b.wav")  # any file: it identifies the recognizer
    final = tmp_path / "out" / "text"
    with Workers(1) as workers:
        found = recognize_files(recognition, files, final, workers)
        assert found == {"b": "loud 0.5", "a": ""} and list(found) == ["b", "a"]
        assert final.read_text() == "a\nb loud 0.5\n"
        assert recognize_files(recognition, files, final, workers) == found
        assert len(recognized) == 2
        other = Recognition(tmp_path / "a.wav")
        recognize_files(other, files, final, workers)
        assert len(recognized) == 4


def test_names_of_files_may_have_blanks(tmp_path, recognized):
    files = make(tmp_path, **{"my voice": 0.5, "my": 0.2, "a\u00a0b": 0.0})
    final = tmp_path / "out" / "text"
    with Workers(1) as workers:
        found = recognize_files(Recognition(tmp_path / "my.wav"), files, final, workers)
    assert found == {"my voice": "loud 0.5", "my": "loud 0.2", "a\u00a0b": ""}
    assert read_scp(final, allow_empty=True) == {
        "a%C2%A0b": "",
        "my": "loud 0.2",
        "my%20voice": "loud 0.5",
    }


def test_a_recognizer_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="no cannot be read"):
        recognition_of(tmp_path / "no", None, "english", "cpu")

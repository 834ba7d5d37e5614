"""How much codes change."""

import functools
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from espnet_stacodec.errors import DataError
from espnet_stacodec.evaluation import stability
from espnet_stacodec.evaluation.distortions import Distortion, standard_distortions
from espnet_stacodec.evaluation.stability import measure_stability, unit_edit_distance
from espnet_stacodec.parallel import Workers


def test_edits_worked_by_hand():
    assert unit_edit_distance(np.array([1, 1, 2, 3]), np.array([1, 2, 2, 4, 4])) == (1, 3)
    assert unit_edit_distance(np.array([5, 5, 6]), np.array([5, 6, 6, 6])) == (0, 2)


def unchanged(wave, rate, generator):
    return wave


class Loudness:
    """A codec with two codebooks: how loud each frame is, coarsely and finely."""

    def encode(self, wave: np.ndarray, rate: int) -> torch.Tensor:
        frames = np.abs(wave[: len(wave) // 320 * 320]).reshape(-1, 320).mean(axis=1)
        return torch.from_numpy(np.stack([(steps * frames).astype(int) for steps in (20, 2000)]))


def test_what_changes_nothing_and_what_changes_much(noise, tmp_path, monkeypatch):
    monkeypatch.setattr(stability, "load_once", lambda *args: Loudness())
    audio = {}
    for seed, name in enumerate("ab"):
        soundfile.write(tmp_path / f"{name}.wav", noise(16000, seed), 16000)
        audio[name] = str(tmp_path / f"{name}.wav")
    known = standard_distortions()
    copies = [Distortion("same", "none", unchanged), known["white_20dB"], known["speed_1.1"]]
    with Workers(1) as workers:
        found = measure_stability("codec", audio, copies, workers, {"a": "s", "b": "t"})
    assert list(found) == ["same", "white_20dB", "speed_1.1"]
    for book in found["same"]:
        assert book.unit_edit_distance.value == 0 and book.changed is not None
        assert book.changed.value == 0
    coarse, fine = found["white_20dB"]
    assert coarse.changed is not None and fine.changed is not None
    assert coarse.changed.value < fine.changed.value and fine.changed.value > 30
    assert fine.unit_edit_distance.value > 20
    assert found["speed_1.1"][0].changed is None  # frames have moved


def test_nobody_babbles_against_himself(noise, tmp_path, monkeypatch):
    """Not with the same file, nor with another one of his."""
    monkeypatch.setattr(stability, "load_once", lambda *args: Loudness())
    heard = []

    def note(wave, rate, generator, voices):
        heard.append({Path(voice).stem for voice in voices})
        return wave

    audio = {}
    for seed, name in enumerate("abc"):
        soundfile.write(tmp_path / f"{name}.wav", noise(3200, seed), 16000)
        audio[name] = str(tmp_path / f"{name}.wav")
    change = functools.partial(note, voices=tuple(audio.values()))
    copies = [Distortion("babble_10dB", "babble", change)]
    with Workers(1) as workers:
        measure_stability("codec", audio, copies, workers)
        measure_stability("codec", audio, copies, workers, {"a": "s", "b": "s", "c": "t"})
        assert heard == [{"b", "c"}, {"a", "c"}, {"a", "b"}, {"c"}, {"c"}, {"a", "b"}]
        with pytest.raises(DataError, match="a: babble_10dB is made of other voices than"):
            measure_stability("codec", audio, copies, workers, dict.fromkeys("abc", "s"))

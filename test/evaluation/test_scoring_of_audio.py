"""Rows of scores of pairs of files."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_stacodec.errors import DataError
from espnet_stacodec.evaluation import scoring
from espnet_stacodec.evaluation.audio_sets import Pair
from espnet_stacodec.evaluation.scoring import score_pair, score_pairs
from espnet_stacodec.parallel import Workers

FAMILIES = ["stoi", "si_sdr", "spectral"]


def tone(seconds: float, rate: int = 16000) -> np.ndarray:
    time = np.arange(int(seconds * rate)) / rate
    return 0.3 * np.sin(2 * np.pi * 440 * time) * (1 + np.sin(2 * np.pi * 3 * time))


@pytest.fixture
def pair(tmp_path):
    """Write two signals and return the pair of their files."""

    def make(one: np.ndarray, other: np.ndarray, rates=(16000, 16000), name: str = "a") -> Pair:
        paths = [str(tmp_path / f"{name}_{side}.wav") for side in ("ref", "hyp")]
        for path, signal, rate in zip(paths, (one, other), rates, strict=True):
            soundfile.write(path, signal, rate, "FLOAT")
        return Pair(name, *paths)

    return make


def test_identical_files(pair):
    row = score_pair(FAMILIES, pair(tone(1), tone(1)))
    assert row["status"] == "ok" and row["si_sdr"] == pytest.approx(100)
    assert row["num_samples"] == 16000 and row["stoi"] == pytest.approx(1, abs=1e-3)
    json.dumps(row, allow_nan=False)


def test_other_rates_are_compared_at_16_khz(pair):
    row = score_pair(FAMILIES, pair(tone(1, 48000), tone(1, 8000), (48000, 8000)))
    assert row["status"] == "ok" and row["si_sdr"] > 30
    assert (row["num_samples"], row["sample_rate"], row["sample_rate_estimate"]) == (
        48000,
        48000,
        8000,
    )


def test_a_difference_of_a_frame_is_cut_and_a_larger_one_is_not_compared(pair):
    frame = score_pair(FAMILIES, pair(tone(1), tone(1)[:-320]))
    assert frame["status"] == "ok" and frame["si_sdr"] == pytest.approx(100)
    longer = score_pair(FAMILIES, pair(tone(1), tone(1.2)))
    assert longer["status"] == "of another length than their originals"
    assert longer["si_sdr"] is None is longer["mel_distance"]


def test_what_is_counted_apart(pair):
    silence = np.zeros(16000)
    short = score_pair(FAMILIES, pair(tone(0.3), tone(0.3)))
    assert short["status"] == "shorter than 0.4 s" and short["mel_distance"] is None
    silent = score_pair(FAMILIES, pair(silence, tone(1)))
    assert silent["status"] == "silent" and silent["mel_distance"] is None
    failed = score_pair(FAMILIES, pair(tone(1), silence))
    assert failed["status"] == "resynthesized as silence"
    assert failed["si_sdr"] is None and failed["mel_distance"] > 0.5  # a failure, and it counts


def test_a_file_that_is_gone_is_named(pair, tmp_path):
    made = pair(tone(1), tone(1))
    Path(made.estimate).write_bytes(b"no audio")
    with pytest.raises(DataError, match=r"^a: .*a_hyp\.wav: not readable as audio"):
        score_pair(FAMILIES, made)


def test_parts_that_are_whole_are_kept(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "PART_PAIRS", 1)
    pairs = {name: pair(tone(1), tone(1) / 2, name=name) for name in "abc"}
    scored: list[str] = []
    original = scoring.score_pair

    def note(families, one):
        scored.append(one.name)
        if one.name == "c" and len(scored) == 3:
            raise KeyboardInterrupt
        return original(families, one)

    monkeypatch.setattr(scoring, "score_pair", note)
    final = tmp_path / "out" / "metrics.jsonl"
    with Workers(1) as workers:
        with pytest.raises(KeyboardInterrupt):
            score_pairs(pairs, FAMILIES, final, workers)
        assert not final.exists()
        rows = score_pairs(pairs, FAMILIES, final, workers)
        assert scored == ["a", "b", "c", "c"]
        assert [row["utt"] for row in rows] == ["a", "b", "c"]
        pair(tone(1), tone(1) / 3, name="b")  # made again
        score_pairs(pairs, FAMILIES, final, workers)
        assert scored[4:] == ["b"]
        score_pairs(pairs, ["stoi"], final, workers)
        assert scored[5:] == ["a", "b", "c"]
    assert [json.loads(line)["utt"] for line in final.read_text().splitlines()] == ["a", "b", "c"]

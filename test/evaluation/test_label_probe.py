"""Linear probes for labels of utterances."""

import numpy as np
import pytest

from espnet_stacodec.errors import DataError
from espnet_stacodec.evaluation.label_probe import deduplicate, probe_labels

WORDS = {"yes": [1, 2, 3], "no": [7, 8], "maybe": [4, 1, 9]}


@pytest.fixture
def said() -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Utterances whose label is the word in them, among noise."""
    rng = np.random.default_rng(0)
    streams, labels = {}, {}
    for i in range(60):
        name, (label, word) = f"u{i}", list(WORDS.items())[i % 3]
        before, after = rng.integers(10, 20, 5), rng.integers(10, 20, 5)
        streams[name] = np.concatenate([before, np.repeat(word, 3), after])
        labels[name] = label
    return streams, labels


def test_runs_are_merged():
    assert deduplicate(np.array([3, 3, 1, 1, 3])).tolist() == [3, 1, 3]
    assert deduplicate(np.array([], dtype=int)).tolist() == []


def test_a_label_that_is_there(said):
    found = probe_labels(*said)
    assert found.accuracy.value == 100 and found.utterances == 60 and found.labels == 3
    assert found.majority == pytest.approx(100 / 3, abs=5)


def test_a_label_that_is_not_there(said):
    streams, labels = said
    rng = np.random.default_rng(0)
    other = dict(zip(labels, rng.permutation(list(labels.values())), strict=True))
    found = probe_labels(streams, other)
    assert found.accuracy.value < 60 and found.accuracy.low < 40


def test_a_test_set_of_its_own(said):
    streams, labels = said
    found = probe_labels(streams, labels, [f"u{i}" for i in range(12)])
    assert found.utterances == 12 and found.accuracy.value == 100
    with pytest.raises(DataError, match="60 of 60 labelled utterances are for testing"):
        probe_labels(streams, labels, list(streams))


def test_speakers_are_kept_together(said):
    """A label that only the speaker tells cannot be learned for others."""
    streams, _ = said
    speakers = {name: f"s{i % 12}" for i, name in enumerate(streams)}
    with_mark = {
        name: np.concatenate([stream, [100 + int(speakers[name][1:])]])
        for name, stream in streams.items()
    }
    labels = {name: f"l{int(speaker[1:]) % 2}" for name, speaker in speakers.items()}
    apart = probe_labels(with_mark, labels, speakers=speakers)
    assert apart.accuracy.value < 60
    assert probe_labels(with_mark, labels).accuracy.value > 70


def test_an_interval_is_over_the_speakers_that_are_tested(said):
    """Two of them are too few, however many are in training."""
    streams, labels = said
    speakers = {name: f"s{i % 12}" for i, name in enumerate(streams)}
    test = [name for name in streams if speakers[name] in ("s0", "s1")]
    rng = np.random.default_rng(1)
    wrong = dict(zip(test, rng.permutation([labels[name] for name in test]), strict=True))
    found = probe_labels(streams, labels | wrong, test, speakers)
    assert found.accuracy == probe_labels(streams, labels | wrong, test).accuracy
    assert found.accuracy.low < found.accuracy.value < found.accuracy.high


def test_more_speakers_than_utterances_of_any_label():
    streams = {f"u{i}": np.arange(i, i + 20) for i in range(5)}
    labels = dict(zip(streams, "aabbc", strict=True))
    speakers = {name: f"s{name}" for name in streams}
    assert probe_labels(streams, labels, speakers=speakers).utterances == 5


def test_nothing_to_learn(said):
    streams, _ = said
    with pytest.raises(DataError, match="has the label 'x'; nothing to learn"):
        probe_labels(streams, dict.fromkeys(streams, "x"))
    with pytest.raises(DataError, match="their names differ"):
        probe_labels(streams, {"other": "x"})
    with pytest.raises(DataError, match="Cross-validation needs two utterances of a label"):
        probe_labels(streams, {name: name for name in streams})

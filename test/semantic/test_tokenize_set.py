"""Tokens of a set: in order, and on a GPU those of similar length together."""

import functools
from pathlib import Path

from espnet_stacodec.parallel import Workers
from espnet_stacodec.semantic import tokenize_set
from espnet_stacodec.semantic.token_files import Utterance


def test_buckets():
    assert tokenize_set.length_buckets([3, 9, 4, 8], 18) == [[1, 3], [2, 0]]
    assert tokenize_set.length_buckets([50, 1, 1], 10) == [[0], [1, 2]]
    assert tokenize_set.length_buckets([], 10) == []


def test_tokens_come_in_the_order_of_the_utterances(monkeypatch):
    utterances = [Utterance(f"utt{n}", "", n) for n in (300, 900, 400, 800)]
    monkeypatch.setattr(tokenize_set, "BATCHING_DEVICES", ("cpu",))
    monkeypatch.setattr(
        tokenize_set, "_tokens_together", lambda *key, bucket=None: [u.num_samples for u in key[-1]]
    )
    with Workers(1) as workers:
        key = (Path(), "", "")
        tokenize = functools.partial(tokenize_set.tokenize_set, workers, key, "tokens")
        assert list(tokenize(utterances)) == [300, 900, 400, 800]


def test_a_kill_on_a_gpu_costs_no_more_than_the_utterances_that_are_sorted_together(monkeypatch):
    """Tokens of the first ones come before the last ones are made."""
    monkeypatch.setattr(tokenize_set, "BATCHING_DEVICES", ("cpu",))
    monkeypatch.setattr(tokenize_set, "SORTED_UTTERANCES", 2)
    made: list[int] = []

    def together(*key, bucket=None):
        made.extend(u.num_samples for u in key[-1])
        return [u.num_samples for u in key[-1]]

    monkeypatch.setattr(tokenize_set, "_tokens_together", together)
    utterances = [Utterance(f"utt{n}", "", n) for n in (300, 900, 400, 800, 500)]
    with Workers(1) as workers:
        tokens = iter(tokenize_set.tokenize_set(workers, (Path(), "", ""), "tokens", utterances))
        assert [next(tokens), next(tokens)] == [300, 900]
        assert sorted(made) == [300, 900]
        assert list(tokens) == [400, 800, 500]

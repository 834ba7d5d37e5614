"""Usage, perplexity and entropies of codes whose distribution is known."""

import math

import numpy as np
import pytest

from espnet_stacodec.evaluation.code_sets import CodeSet
from espnet_stacodec.evaluation.code_statistics import bitrates, describe_books


def code_set(*streams: list[np.ndarray], sizes: list[int]) -> CodeSet:
    """Return a set of utterances from streams (utterances of (T,)) of each codebook."""
    utterances = zip(*streams, strict=True)
    return CodeSet({f"u{i}": np.stack(books) for i, books in enumerate(utterances)}, sizes, 50.0)


def test_use_worked_by_hand():
    codes = code_set([np.array([0, 0, 1, 1]), np.array([2, 2, 3, 3])], sizes=[6])
    book = describe_books(codes)[0]
    assert (book.entries, book.used, book.dead) == (6, 4, 2)
    assert book.perplexity == pytest.approx(4)


def test_even_codes_cost_their_logarithm():
    rng = np.random.default_rng(0)
    codes = code_set([rng.integers(16, size=2000) for _ in range(4)], sizes=[16])
    book = describe_books(codes)[0]
    assert book.entropy_0 == pytest.approx(4, abs=0.02)
    assert book.entropy_1 == pytest.approx(4, abs=0.1)  # the code before says nothing
    rates = bitrates(codes, [book])
    assert rates["nominal"] == pytest.approx(0.2) and rates["order_0"] == pytest.approx(
        0.2, abs=0.01
    )


def test_codes_that_are_held_are_cheap_once_the_last_is_known():
    rng = np.random.default_rng(0)
    codes = code_set([rng.integers(16, size=400).repeat(10) for _ in range(4)], sizes=[16])
    book = describe_books(codes)[0]
    expected = 0.1 * 4 + -(0.9 * math.log2(0.9) + 0.1 * math.log2(0.1))  # about: it changes or not
    assert book.entropy_0 == pytest.approx(4, abs=0.1)
    assert book.entropy_1 == pytest.approx(expected, abs=0.15)


def test_few_utterances_do_not_flatter():
    """1000 random codes of 1024: nearly every pair is seen once, and says nothing of others."""
    rng = np.random.default_rng(0)
    streams = [rng.integers(1024, size=500) for _ in range(2)]
    for few in (streams, [np.concatenate(streams)]):
        (book,) = describe_books(code_set(few, sizes=[1024]))
        assert book.entropy_0 > 9.5 and book.entropy_1 > 9.5


def test_one_utterance_is_enough():
    book = describe_books(code_set([np.array([1, 1, 1])], sizes=[2]))[0]
    assert book.dead == 1 and 0 < book.entropy_0 < 1
    alone = describe_books(code_set([np.array([1])], sizes=[2]))[0]
    assert alone.used == 1 and alone.entropy_0 == 1

"""Bootstrap intervals: worked cases, and how often they hold the mean that is known."""

import math

import numpy as np
import pytest

from espnet_stacodec.errors import DataError
from espnet_stacodec.evaluation.intervals import Bootstrap, over_seeds

TRIALS = 200


def share_that_holds(draw, mean: float, speakers=None) -> float:
    """Return the share of intervals of drawn samples that hold the mean they were drawn with."""
    held = 0
    for trial in range(TRIALS):
        values = draw(np.random.default_rng(trial))
        found = Bootstrap(len(values), speakers, seed=trial).mean(values)
        held += found.low <= mean <= found.high
    return held / TRIALS


def test_intervals_hold_a_known_mean():
    """95 % of them; a binomial with 200 trials has a standard deviation of 1.5 %."""
    normal = share_that_holds(lambda rng: rng.normal(3, 2, 12), 3)
    skewed = share_that_holds(lambda rng: rng.exponential(2, 40), 2)
    assert 0.91 <= normal <= 0.99 and 0.89 <= skewed <= 0.99


def test_with_speakers_that_differ_whole_speakers_are_drawn():
    speakers = [f"s{number // 10}" for number in range(80)]

    def draw(rng: np.random.Generator) -> np.ndarray:
        return 1 + rng.normal(0, 1, 8).repeat(10) + rng.normal(0, 0.5, 80)

    assert 0.89 <= share_that_holds(draw, 1, speakers) <= 0.99
    assert share_that_holds(draw, 1) < 0.7  # utterances are not independent


def test_a_constant_has_no_uncertainty():
    found = Bootstrap(5).mean([2.0] * 5)
    assert (found.value, found.low, found.high) == (2.0, 2.0, 2.0)


def test_ratios_weigh_utterances_by_their_length():
    found = Bootstrap(2).ratio([1, 0], [1, 9])  # one of ten words is wrong
    assert found.value == pytest.approx(0.1)
    assert found.low <= 0.1 <= found.high <= 1


def test_what_is_not_defined_does_not_count():
    found = Bootstrap(4).mean([1.0, math.nan, 3.0, math.nan])
    assert found.value == 2.0 and found.low >= 1.0 and found.high <= 3.0
    one = Bootstrap(2).mean([1.0, math.nan])
    assert one.value == 1.0 and math.isnan(one.low)
    assert math.isnan(Bootstrap(2).mean([math.nan, math.nan]).value)


def test_paired_differences_are_surer_than_the_systems():
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 1, 50)  # what both find hard
    one, other = hard + 0.2 + rng.normal(0, 0.1, 50), hard
    ones = np.ones(50)
    bootstrap = Bootstrap(50)
    found = bootstrap.difference((one, ones), (other, ones))
    assert found.value == pytest.approx((one - other).mean())
    assert found.is_clear and found.high - found.low < 0.1
    alone = bootstrap.mean(one)
    assert alone.high - alone.low > 0.4
    same = bootstrap.difference((one, ones), (one, ones))
    assert (same.value, same.low, same.high) == (0, 0, 0) and not same.is_clear


def test_differences_count_what_both_systems_have():
    ones = np.ones(3)
    found = Bootstrap(3).difference(([5.0, 2.0, math.nan], ones), ([1.0, math.nan, 9.0], ones))
    assert found.value == 4.0


def test_differences_are_those_of_the_ratios():
    """Words that are heard where nothing was said are errors of no words."""
    errors, other_errors, words = [1.0, 2.0, 3.0], [1.0, 0.0, 0.0], [4.0, 6.0, 0.0]
    bootstrap = Bootstrap(3)
    found = bootstrap.difference((errors, words), (other_errors, words))
    ratios = [bootstrap.ratio(one, words).value for one in (errors, other_errors)]
    assert found.value == pytest.approx(ratios[0] - ratios[1]) == 0.5


def test_few_speakers_are_not_drawn():
    names = [f"s{number % 5}" for number in range(20)]
    few = Bootstrap(20, names)
    assert not few.by_speaker and few.num_units == 20 and few.num_speakers == 5
    enough = Bootstrap(20, [f"s{number % 6}" for number in range(20)])
    assert enough.by_speaker and enough.num_units == 6


def test_the_same_call_gives_the_same_interval():
    values = np.random.default_rng(1).normal(size=30)
    assert Bootstrap(30).mean(values) == Bootstrap(30).mean(values)


def test_a_speaker_for_each_utterance():
    with pytest.raises(DataError, match="2 for 3"):
        Bootstrap(3, ["a", "b"])


def test_over_seeds_is_students_interval():
    """t of two degrees of freedom is 4.3027; the deviation of 1, 2, 3 is 1."""
    found = over_seeds([1.0, 2.0, 3.0, None, math.nan])
    half = 4.3027 / math.sqrt(3)
    assert (found.value, found.low, found.high) == pytest.approx((2, 2 - half, 2 + half), abs=1e-4)
    alone = over_seeds([2.0])
    assert alone.value == 2.0 and math.isnan(alone.low) and math.isnan(alone.high)
    assert math.isnan(over_seeds([None]).value)

"""95 % bootstrap intervals of means, ratios and paired differences.

What is drawn again is whole speakers, where there are enough of them: utterances of one speaker are
alike, and an interval that takes them for independent is too narrow for other speakers. The limits
are expanded percentiles (Hesterberg, The American Statistician 2015): plain percentiles of n drawn
units are too narrow by about the factor of Student's t and of n - 1.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats
from typeguard import typechecked

from espnet_stacodec.errors import DataError

LEVEL = 0.95
REPETITIONS = 5000
SEED = 0
# Between the least and the greatest of n units lies the median of all with 1 - 2**(1 - n): five
# speakers cannot carry an interval of 95 %.
FEWEST_SPEAKERS = 6
BLOCK = 500  # repetitions at once, which bounds memory


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure of a set and how sure it is.

    Attributes:
        value: Of the set as it is; NaN where nothing defines it.
        low: Lower limit of the 95 % interval; NaN where there are fewer than two units.
        high: Upper limit.
    """

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


@typechecked
def over_seeds(values: Sequence[float | None]) -> Estimate:
    """Return the mean of a figure over trainings with several seeds, by Student's t.

    The interval is that of the mean of further seeds on the same utterances: it says nothing about
    other utterances. What is None or not finite is left out.
    """
    known = np.array([value for value in values if value is not None and math.isfinite(value)])
    if not len(known):
        return Estimate(math.nan, math.nan, math.nan)
    mean = float(known.mean())
    if len(known) < 2:
        return Estimate(mean, math.nan, math.nan)
    quantile = stats.t.ppf((1 + LEVEL) / 2, len(known) - 1)
    half = float(quantile * known.std(ddof=1) / math.sqrt(len(known)))
    return Estimate(mean, mean - half, mean + half)


class Bootstrap:
    """Utterances, drawn again by speaker or one by one; the same draws for every figure.

    Args:
        num_utterances: Of the set.
        speakers: Of each utterance; None where they are not known.
        seed: Of the draws.

    Raises:
        DataError: If there are no utterances, or not one speaker for each.
    """

    @typechecked
    def __init__(
        self, num_utterances: int, speakers: Sequence[str] | None = None, seed: int = SEED
    ) -> None:
        if num_utterances < 1 or (speakers is not None and len(speakers) != num_utterances):
            raise DataError(
                f"There must be a speaker for each of one or more utterances, not"
                f" {len(speakers or [])} for {num_utterances}."
            )
        self.num_utterances = num_utterances
        names = sorted(set(speakers or []))
        self.num_speakers = len(names)
        self.by_speaker = len(names) >= FEWEST_SPEAKERS
        if self.by_speaker and speakers is not None:
            index = {name: number for number, name in enumerate(names)}
            self._unit_of = np.array([index[speaker] for speaker in speakers])
        else:
            self._unit_of = np.arange(num_utterances)
        self.num_units = int(self._unit_of.max()) + 1
        self._seed = seed

    def mean(self, values: Sequence[float] | np.ndarray) -> Estimate:
        """Return the mean over the utterances whose value is finite."""
        return self.ratio(values, np.ones(self.num_utterances))

    def ratio(
        self, numerators: Sequence[float] | np.ndarray, denominators: Sequence[float] | np.ndarray
    ) -> Estimate:
        """Return sum(numerators) / sum(denominators), e.g. errors of words; NaN counts as neither.

        Args:
            numerators: (N,), one for each utterance.
            denominators: (N,).
        """
        return self._estimate(self._columns(numerators, denominators), _first_ratio)

    def difference(
        self,
        one: tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray],
        other: tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray],
    ) -> Estimate:
        """Return ratio(one) - ratio(other) over the utterances for which both are finite.

        Args:
            one: Numerators and denominators (N,).
            other: The same of the other system.
        """
        return self._estimate(self._columns(*one, *other), _difference_of_ratios)

    def _columns(self, *values: Sequence[float] | np.ndarray) -> np.ndarray:
        """Return (N, columns) numerators and denominators, zero where one is not finite."""
        columns = np.stack([np.asarray(x, dtype=np.float64) for x in values], axis=1)
        columns[~np.isfinite(columns).all(axis=1)] = 0
        return columns

    def _estimate(
        self, columns: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]
    ) -> Estimate:
        value = float(statistic(columns.sum(axis=0, keepdims=True))[0])
        sums = np.zeros((self.num_units, columns.shape[1]))
        np.add.at(sums, self._unit_of, columns)
        # Units in which the figure is not defined are no evidence.
        n = int((sums[:, 1] != 0).sum())
        if n < 2:
            return Estimate(value, math.nan, math.nan)
        drawn = np.concatenate([statistic(block @ sums) for block in self._times_drawn])
        tail = (1 - LEVEL) / 2
        # The quantile of the normal distribution that is as far out as t, and as n over n - 1.
        tail = stats.norm.cdf(math.sqrt(n / (n - 1)) * stats.t.ppf(tail, n - 1))
        low, high = np.nanquantile(drawn, [tail, 1 - tail])
        return Estimate(value, float(low), float(high))

    @functools.cached_property
    def _times_drawn(self) -> list[np.ndarray]:
        """How often each unit is drawn: blocks (BLOCK, units) of repetitions."""
        generator = np.random.default_rng(self._seed)
        n = self.num_units
        rows = n * np.arange(BLOCK)[:, None]
        return [
            np.bincount(
                (generator.integers(n, size=(BLOCK, n)) + rows).ravel(), minlength=BLOCK * n
            )
            .reshape(BLOCK, n)
            .astype(np.uint16)
            for _ in range(REPETITIONS // BLOCK)
        ]


def _first_ratio(sums: np.ndarray) -> np.ndarray:
    """Return the ratios (B,) of sums (B, 2); NaN where there is nothing to divide by."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums[:, 0] / sums[:, 1]


def _difference_of_ratios(sums: np.ndarray) -> np.ndarray:
    """Return the differences (B,) of two ratios, of sums (B, 4)."""
    return _first_ratio(sums[:, :2]) - _first_ratio(sums[:, 2:])

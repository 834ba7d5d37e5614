"""Figures of sets from rows of scores: means and error rates with intervals; paired differences.

A row is a line of scores.jsonl (docs/scores.md has its keys).
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from typeguard import typechecked

from espnet_stacodec.evaluation.intervals import Bootstrap, Estimate
from espnet_stacodec.evaluation.metrics import METRICS, Metric
from espnet_stacodec.evaluation.scoring import OK

Row = Mapping[str, Any]
# Keys of a row that are no metrics.
OTHER_KEYS = {
    *("utt", "speaker", "status", "num_samples", "sample_rate", "sample_rate_estimate"),
    *("encode_seconds", "decode_seconds", "words", "chars"),
    *("word_errors", "char_errors", "word_errors_original", "char_errors_original"),
}


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure of a set: the sum of numerators over the sum of denominators.

    Attributes:
        metric: How it is shown.
        parts: Returns numerator and denominator of a row, or None where it is not defined.
    """

    metric: Metric
    parts: Callable[[Row], tuple[float, float] | None]

    def columns(self, rows: Sequence[Row]) -> tuple[list[float], list[float]]:
        """Return numerators and denominators (N,), NaN where the figure is not defined."""
        pairs = [self.parts(row) or (math.nan, math.nan) for row in rows]
        return [one for one, _ in pairs], [other for _, other in pairs]


def _mean_of(key: str) -> Callable[[Row], tuple[float, float] | None]:
    return lambda row: None if row.get(key) is None else (row[key], 1.0)


def _rate_of(errors: str, units: str) -> Callable[[Row], tuple[float, float] | None]:
    return lambda row: None if row.get(errors) is None else (100.0 * row[errors], row[units])


RATES: dict[str, Figure] = {
    f"{name}_{of}": Figure(Metric(f"{name.upper()} of the {whose} (%)", 1, better), _rate_of(*keys))
    for name, unit in (("wer", "word"), ("cer", "char"))
    for of, whose, keys, better in (
        ("resynthesis", "resynthesis", (f"{unit}_errors", f"{unit}s"), False),
        ("original", "originals", (f"{unit}_errors_original", f"{unit}s"), None),
    )
}


@typechecked
def figures_of(rows: Sequence[Row]) -> dict[str, Figure]:
    """Return the figures that rows have: metrics, error rates, and any other numbers in them."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    found = {key: Figure(METRICS[key], _mean_of(key)) for key in METRICS if key in keys}
    for key in keys:
        if key not in METRICS and key not in OTHER_KEYS and _is_numeric(key, rows):
            found[key] = Figure(Metric(key, 3, None), _mean_of(key))
    with_errors = {
        key: figure for key, figure in RATES.items() if any(figure.parts(row) for row in rows)
    }
    return found | with_errors


def _is_numeric(key: str, rows: Sequence[Row]) -> bool:
    values = [row[key] for row in rows if row.get(key) is not None]
    return bool(values) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values
    )


def _bootstrap(rows: Sequence[Row]) -> Bootstrap:
    speakers = [row.get("speaker") for row in rows]
    return Bootstrap(len(rows), None if None in speakers else [str(name) for name in speakers])


@typechecked
def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Return what a set's rows say together.

    Returns:
        utterances; speakers (None where not known); intervals_over ("speakers" or "utterances");
        statuses: how many pairs are in each status but "ok"; text_is: where the words of the
        references come from, None without a recognizer; and for each figure its value under its
        key, `<key>_interval` [low, high] (95 %), and `<key>_undefined`, for how many of the
        utterances that are "ok" it is not defined. What is not defined is None.
    """
    bootstrap = _bootstrap(rows)
    statuses = Counter(row.get("status", OK) for row in rows)
    sources = sorted({row["text_is"] for row in rows if row.get("text_is")})
    summary: dict[str, Any] = {
        "utterances": len(rows),
        "speakers": bootstrap.num_speakers or None,
        "intervals_over": "speakers" if bootstrap.by_speaker else "utterances",
        "statuses": {status: number for status, number in statuses.items() if status != OK},
        "text_is": " or ".join(sources) or None,
    }
    for key, figure in figures_of(rows).items():
        columns = figure.columns(rows)
        estimate = bootstrap.ratio(*columns)
        undefined = [
            row
            for row, value in zip(rows, columns[0], strict=True)
            if math.isnan(value) and row.get("status", OK) == OK
        ]
        summary |= {key: _number(estimate.value), f"{key}_interval": _limits(estimate)}
        summary[f"{key}_undefined"] = len(undefined)
    return summary


@typechecked
def compare(rows: Sequence[Row], others: Sequence[Row]) -> dict[str, Any]:
    """Return how two systems differ on the utterances that both have: `others` less `rows`.

    Returns:
        utterances (that both have), intervals_over, and for each figure of both: difference,
        interval [low, high] (95 %), None where not defined, and clear: whether that excludes zero.
    """
    by_name = {row["utt"]: row for row in others}
    pairs = [(row, by_name[row["utt"]]) for row in rows if row["utt"] in by_name]
    if not pairs:
        return {"utterances": 0, "intervals_over": "utterances", "figures": {}}
    ones, twos = [one for one, _ in pairs], [other for _, other in pairs]
    bootstrap = _bootstrap(ones)
    known = figures_of(twos)
    figures = {}
    for key, figure in figures_of(ones).items():
        if key not in known or key.endswith("_original"):
            continue  # of the originals, which both systems share
        estimate = bootstrap.difference(figure.columns(twos), figure.columns(ones))
        figures[key] = {
            "difference": _number(estimate.value),
            "interval": _limits(estimate),
            "clear": estimate.is_clear,
        }
    return {
        "utterances": len(pairs),
        "intervals_over": "speakers" if bootstrap.by_speaker else "utterances",
        "figures": figures,
    }


def _number(value: float) -> float | None:
    # JSON has no NaN: what is not defined is null.
    return value if math.isfinite(value) else None


def _limits(estimate: Estimate) -> list[float] | None:
    limits = [estimate.low, estimate.high]
    return limits if all(map(math.isfinite, limits)) else None

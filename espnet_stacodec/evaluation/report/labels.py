"""How scores are written on the page."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from espnet_stacodec.evaluation.results import SHOWN, metric_of

NO_SCORES = ("utterances", "speakers", "missing", "num_samples")


def written(key: str, value: float | None, interval: Sequence[float] | None = None) -> str:
    """Return a score as text, with its interval where there is one; "-" where not defined."""
    if value is None or not math.isfinite(value):
        return "-"
    digits = metric_of(key).digits
    text = f"{value:.{digits}f}"
    if interval is None:
        return text
    low, high = (f"{limit:.{digits}f}" for limit in interval)
    return f"{text} ({low} to {high})"


def score_keys(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys of numbers that are scores, in the order of stage 6's table."""
    there = {
        key: None
        for row in scores
        for key, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    found = [key for key in there if not key.endswith("_undefined") and key not in NO_SCORES]
    return [key for key in SHOWN if key in found] + [key for key in found if key not in SHOWN]

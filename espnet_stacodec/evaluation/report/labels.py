"""How scores are written on the page."""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from espnet_stacodec.errors import DataError
from espnet_stacodec.evaluation.results import SHOWN, metric_of

# What names of experiments are made of: words and what stands between them.
SEPARATORS = "_-/ "
WORDS = re.compile(rf"[^{re.escape(SEPARATORS)}]+|[{re.escape(SEPARATORS)}]+")
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


def names_apart(folders: Sequence[Path]) -> list[str]:
    """Return a short name for each experiment: its folder's, without what all of them share.

    Experiments whose folders are called alike are told apart by the folders above these.

    Args:
        folders: The experiments.

    Raises:
        DataError: If one is given twice.
    """
    paths = [folder.resolve() for folder in folders]
    if len(set(paths)) < len(paths):
        raise DataError(
            f"{', '.join(map(str, folders))}: one experiment is given twice; compare others."
        )
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        depth += 1
    names = ["/".join([*p.parts[-depth:-1], p.name.removeprefix("codec_")]) for p in paths]
    if len(names) == 1:
        return names
    words = [WORDS.findall(name) for name in names]
    begin = _shared(words)
    end = _shared([of_name[begin:][::-1] for of_name in words])
    # The one that only has what all share keeps its name.
    apart = ["".join(w[begin : len(w) - end]).strip(SEPARATORS) for w in words]
    return apart if all(apart) else names


def _shared(lists: Sequence[Sequence[str]]) -> int:
    """Return how many words all lists begin with."""
    alike = (len(set(words)) == 1 for words in zip(*lists, strict=False))
    return sum(1 for _ in itertools.takewhile(bool, alike))


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

"""Which utterances are shown: a dozen that span the range, and the worst ones."""

from collections.abc import Mapping
from typing import Any

from espnet_stacodec.evaluation.results import metric_of
from espnet_stacodec.evaluation.scoring import OK

EACH = 3
WORST_LISTED = 10


def ranked(rows: Mapping[str, Mapping[str, Any]], key: str) -> list[str]:
    """Return the utterances with a score, the worst first; equal ones by name."""
    scored = [utt for utt in rows if rows[utt].get(key) is not None]
    sign = -1 if metric_of(key).higher_is_better is False else 1
    return sorted(scored, key=lambda utt: (sign * rows[utt][key], utt))


def choose(rows: Mapping[str, Mapping[str, Any]], key: str, each: int = EACH) -> dict[str, str]:
    """Return utterances and why they are shown: worst, median, best by a score, and longest.

    Args:
        rows: Scores by utterance, with num_samples.
        key: The score; the longest need not have it, as there is no PESQ of more than 40 s.
        each: How many of each kind, at most; an utterance is shown once.
    """
    order = ranked(rows, key)
    middle = max(0, (len(order) - each) // 2)
    # A pair that is counted apart may be too short to show, or of another length.
    counted = [utt for utt in rows if rows[utt].get("status", OK) == OK]
    by_length = sorted(counted, key=lambda utt: (-rows[utt]["num_samples"], utt))
    groups = {
        "worst": order,
        "median": order[middle:] + order[:middle],
        "best": order[::-1],
        "longest": by_length,
    }
    chosen: dict[str, str] = {}
    for reason, utts in groups.items():
        chosen |= dict.fromkeys([utt for utt in utts if utt not in chosen][:each], reason)
    return chosen

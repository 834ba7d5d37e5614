"""Metrics of many pairs of audio files, kept in parts so that an interrupted call goes on."""

import functools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from typeguard import typechecked

from espnet_stacodec.errors import naming
from espnet_stacodec.evaluation import metrics
from espnet_stacodec.evaluation.audio_sets import Pair
from espnet_stacodec.fileio.audio import at_rate, read_audio
from espnet_stacodec.fileio.files import identify, write_text
from espnet_stacodec.fileio.parts import Part, Parts, cut
from espnet_stacodec.parallel import Workers, one_thread

PART_PAIRS = 50
# What the results depend on beside the packages' versions: raised when they change here.
REVISION = 2
SHORTEST_SECONDS = 0.4  # STOI needs 30 frames
TOLERANCE_SECONDS = 0.05  # lengths that differ by less are cut to the shorter one
# Why a pair has no metrics, as tables say it; a silent resynthesis has those that are defined.
OK = "ok"
SHORT = "shorter than 0.4 s"
SILENT = "silent"
SILENT_ESTIMATE = "resynthesized as silence"
OTHER_LENGTH = "of another length than their originals"
STATES = (OK, SHORT, SILENT, SILENT_ESTIMATE, OTHER_LENGTH)
COUNTED = (OK, SILENT_ESTIMATE)  # the others have no figure, and are counted apart


@typechecked
def score_pairs(
    pairs: Mapping[str, Pair], families: Sequence[str], final: Path, workers: Workers
) -> list[dict]:
    """Compute the metrics of pairs; writes `final`, a JSON line for each, and returns these.

    What an interrupted call has finished is kept. Only one command may work on `final` at a time.

    Args:
        pairs: By name.
        families: Keys of `metrics.FAMILIES`.
        final: The file of rows, .jsonl.
        workers: Who computes.

    Returns:
        Rows in the order of the pairs: utt, status (one of `STATES`), num_samples and sample_rate
        of the original, sample_rate_estimate, and each metric, None where it is not defined.

    Raises:
        DataError: If a file cannot be read.
    """
    references = identify({name: pair.reference for name, pair in pairs.items()})
    estimates = identify({name: pair.estimate for name, pair in pairs.items()})
    parts = Parts(
        final,
        cut({name: [references[name], estimates[name]] for name in pairs}, PART_PAIRS),
        [REVISION, list(families), metrics.versions(tuple(families))],
        "jsonl",
    )
    work = functools.partial(score_pair, list(families))
    parts.complete(workers.map_named(work, pairs, f"score {final.parent}"), _save)
    text = "".join(part.path.read_text(encoding="utf-8") for part in parts)
    write_text(final, text)
    return [json.loads(line) for line in text.splitlines()]


def _save(part: Part, rows: Sequence[dict]) -> None:
    write_rows(part.path, rows)


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as JSON lines."""
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


@one_thread()
def score_pair(families: Sequence[str], pair: Pair) -> dict:
    """Read a pair and return its row."""
    with naming(pair.name):
        one, length, rate = read_at_16k(pair.reference)
        other, _, estimate_rate = read_at_16k(pair.estimate)
    row: dict[str, Any] = {
        "utt": pair.name,
        "status": OK,
        "num_samples": length,
        "sample_rate": rate,
        "sample_rate_estimate": estimate_rate,
    }
    row |= {key: None for name in families for key in metrics.FAMILIES[name].metrics}
    row["status"] = _status(one, other)
    if row["status"] in COUNTED:
        shared = min(len(one), len(other))
        values = metrics.score(one[:shared], other[:shared], families)
        # JSON has no NaN: a metric that is not defined is null.
        row |= {key: value if math.isfinite(value) else None for key, value in values.items()}
    return row


def read_at_16k(path: str) -> tuple[np.ndarray, int, int]:
    """Return (N,) float32 samples at 16 kHz of a file, its own number of samples, and its rate."""
    wave, rate = read_audio(path)
    return at_rate(wave, rate, metrics.SAMPLE_RATE), len(wave), rate


def _status(reference: np.ndarray, estimate: np.ndarray) -> str:
    """Return which of `STATES` two (N,) signals at 16 kHz are in."""
    if abs(len(reference) - len(estimate)) > TOLERANCE_SECONDS * metrics.SAMPLE_RATE:
        return OTHER_LENGTH
    if min(len(reference), len(estimate)) < SHORTEST_SECONDS * metrics.SAMPLE_RATE:
        return SHORT
    if metrics.is_silent(reference):
        return SILENT
    return SILENT_ESTIMATE if metrics.is_silent(estimate) else OK

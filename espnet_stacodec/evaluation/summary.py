"""One table of what several systems reach: reconstruction, word errors, intents."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typeguard import typechecked

from espnet_stacodec.errors import StageError
from espnet_stacodec.fileio.files import require
from espnet_stacodec.fileio.markdown import markdown_table

COLUMNS = (
    ("pesq_wb", "PESQ-WB", 2),
    ("stoi", "STOI", 3),
    ("kbps", "kbit/s", 2),
    ("wer", "WER (%)", 1),
    ("cer", "CER (%)", 1),
    ("intent", "intent accuracy (%)", 1),
    ("scenario", "scenario accuracy (%)", 1),
)


@typechecked
def summarize_systems(systems: Mapping[str, Sequence[Path]], dataset: str) -> str:
    """Return a Markdown table with a row for each system, one for chance, and columns with figures.

    Args:
        systems: results.json files of stage 6 (codec) and stage 7 (ASR, SLU), by name. Word
            errors are a recognizer's: those of a model that says intents, too, are not shown.
        dataset: The set whose scores are shown.

    Raises:
        StageError: If a file is not there, or has no scores of the set.
    """
    rows: dict[str, dict[str, float]] = {name: {} for name in systems}
    chance: dict[str, float] = {}
    for name, paths in systems.items():
        for path in paths:
            require(path, "the recipe that makes it")
            results = json.loads(path.read_text(encoding="utf-8"))
            sets = results["sets"]
            if dataset not in sets:
                there = ", ".join(sets)
                raise StageError(f"{path}: no scores of {dataset}; it has {there}.")
            rows[name] |= _scores(sets[dataset])
            chance |= _scores(results.get("chance", {}).get(dataset, {}))
    if chance:
        rows["majority class"] = chance
    columns = [column for column in COLUMNS if any(column[0] in row for row in rows.values())]
    cells = [
        [name, *(_cell(row, key, digits) for key, _, digits in columns)]
        for name, row in rows.items()
    ]
    return markdown_table(["system", *(title for _, title, _ in columns)], cells) + "\n"


def _cell(row: Mapping[str, float], key: str, digits: int) -> str:
    value = row.get(key, math.nan)
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _scores(scores: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of the table that one results.json has of a set."""
    found = {key: scores[key] for key in ("pesq_wb", "stoi", "kbps") if scores.get(key) is not None}
    classes = {key: scores[key]["accuracy"] for key in ("intent", "scenario") if key in scores}
    errors = {key: scores[key]["err"] for key in ("wer", "cer") if key in scores}
    return found | (classes or errors)

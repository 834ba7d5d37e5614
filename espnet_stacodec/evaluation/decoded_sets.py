"""The sets that stage 6 has decoded into one folder, by one call or by several."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typeguard import typechecked

from espnet_stacodec.config import load_yaml
from espnet_stacodec.errors import ConfigError
from espnet_stacodec.evaluation.results import RESULTS_NAME, costs, write_results
from espnet_stacodec.evaluation.resynthesis import DECODED_NAME
from espnet_stacodec.evaluation.score_sets import SCORES_NAME, read_rows
from espnet_stacodec.evaluation.summaries import Row, summarize
from espnet_stacodec.fileio.provenance import PROVENANCE_NAME
from espnet_stacodec.fileio.temporaries import exclusive
from espnet_stacodec.inference.computing import Computing

OUTPUTS = (DECODED_NAME, "codes.scp", "wav.scp", SCORES_NAME, PROVENANCE_NAME)


@typechecked
def write_decoded(
    folder: Path,
    title: str,
    decoded: Mapping[str, Sequence[Row]],
    codec: Computing,
    n_codebooks: int | None = None,
) -> str:
    """Write RESULTS.md and results.json of all sets that a codec has decoded; return the tables.

    What earlier calls decoded with the same codec stays in them, in its place.

    Args:
        folder: Has a folder for each set.
        title: What was scored.
        decoded: The rows of the sets of this call, from `score_decoded`.
        codec: What decoded them.
        n_codebooks: How many codebooks were kept; None for all.
    """
    kept = n_codebooks or codec.n_codebooks
    kbps = codec.bits_per_second(n_codebooks) / 1000
    # Of two calls at once for two sets, the later one has both.
    with exclusive(folder):
        earlier = _earlier(folder, (codec.fingerprint, kept, codec.precision))
        rows = {name: earlier[name] for name in earlier if name not in decoded} | dict(decoded)
        order = [name for name in _order(folder) if name in rows]
        summaries = {
            name: summarize(rows[name]) | costs(rows[name], kbps)
            for name in dict.fromkeys([*order, *rows])
        }
        return write_results(folder, title, summaries, codec=codec.fingerprint)


def _earlier(folder: Path, made_with: tuple[Any, ...]) -> dict[str, Sequence[Row]]:
    """Return the rows of the sets in a folder that are complete, and decoded with the same.

    Args:
        folder: Has a folder for each set.
        made_with: As `_made_with` returns it.
    """
    found: dict[str, Sequence[Row]] = {}
    for path in sorted(folder.glob(f"*/{SCORES_NAME}")):
        if not all((path.parent / name).exists() for name in OUTPUTS):
            continue
        if _made_with(path.parent / PROVENANCE_NAME) != made_with:
            logging.warning(
                "%s: decoded with another codec, number of codebooks or precision, and left out of"
                " the results; decode it again (stage 6), or remove it.",
                path.parent,
            )
            continue
        rows = read_rows(path)
        # A call that was killed leaves the scores without the times.
        if rows and all("decode_seconds" in row for row in rows):
            found[path.parent.name] = rows
    return found


def _made_with(path: Path) -> tuple[Any, ...] | None:
    """Return the codec's fingerprint, number of codebooks and precision of a provenance.yaml.

    None if it does not have them.
    """
    try:
        made = load_yaml(path)
        settings = made["configuration"]
        precision = settings.get("precision", "float32")  # of earlier versions
        return made["data"]["codec"], settings["n_codebooks"], precision
    except (AttributeError, ConfigError, KeyError, TypeError):
        return None


def _order(folder: Path) -> list[str]:
    """Return the sets of results.json; none if there is none."""
    try:
        return list(json.loads((folder / RESULTS_NAME).read_text(encoding="utf-8"))["sets"])
    except (OSError, ValueError, KeyError, TypeError):
        return []

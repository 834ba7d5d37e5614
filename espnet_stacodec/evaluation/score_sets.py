"""Score systems on a set of originals: metrics, words, other programs' scores, joined in rows."""

import dataclasses
import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typeguard import typechecked

from espnet_stacodec.errors import ConfigError, DataError
from espnet_stacodec.evaluation.audio_sets import AudioSet, pair_sets
from espnet_stacodec.evaluation.results import write_results
from espnet_stacodec.evaluation.scoring import COUNTED, score_pairs, write_rows
from espnet_stacodec.evaluation.summaries import compare, summarize
from espnet_stacodec.evaluation.words import Recognition, recognize_files, word_errors
from espnet_stacodec.fileio.temporaries import exclusive
from espnet_stacodec.parallel import Workers

SCORES_NAME = "scores.jsonl"
METRICS_NAME = "metrics.jsonl"
# What the recognizer heard.
WORDS_NAME = "text"
ORIGINAL_WORDS_NAME = "text_original"
# Keys by which other programs name an utterance; VERSA's is `key`.
NAME_KEYS = ("utt", "key")


@typechecked
def score_set(
    originals: AudioSet,
    estimates: Mapping[str, str],
    out_dir: Path,
    families: Sequence[str],
    workers: Workers,
    recognition: Recognition | None = None,
    others: Mapping[str, Mapping[str, float]] | None = None,
    heard_before: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Score a system; writes out_dir/scores.jsonl and returns its rows.

    What an interrupted call has finished is kept in out_dir.

    Args:
        originals: Audio, speakers and transcripts.
        estimates: Resynthesized audio by the names of the originals.
        out_dir: Gets scores.jsonl, and with a recognizer `text` and `text_original`: its words.
        families: Keys of `metrics.FAMILIES`.
        workers: Who computes.
        recognition: The recognizer; None for no word errors.
        others: Figures of other programs for some utterances, which become part of their rows.
        heard_before: What the recognizer heard in the originals; None if it has yet to hear them.

    Raises:
        DataError: If no names are shared, or a file cannot be read.
    """
    pairs = pair_sets(originals.audio, estimates, out_dir)
    with exclusive(out_dir):
        rows = score_pairs(pairs, families, out_dir / METRICS_NAME, workers)
        # Of silence a recognizer makes words of its own.
        counted = {row["utt"]: pairs[row["utt"]] for row in rows if row["status"] in COUNTED}
        words: dict[str, dict] = {}
        if recognition is not None:
            if heard_before is None:
                files = {name: pair.reference for name, pair in counted.items()}
                heard_before = recognize_files(
                    recognition, files, out_dir / ORIGINAL_WORDS_NAME, workers
                )
            files = {name: pair.estimate for name, pair in counted.items()}
            heard = recognize_files(recognition, files, out_dir / WORDS_NAME, workers)
            words = word_errors(heard_before, heard, originals.texts, recognition.normalizer)
        joined = [
            {
                "utt": row["utt"],
                "speaker": originals.speakers.get(row["utt"]),
                **{key: value for key, value in row.items() if key != "utt"},
                **words.get(row["utt"], {}),
                **((others or {}).get(row["utt"], {}) if row["utt"] in counted else {}),
            }
            for row in rows
        ]
        write_rows(out_dir / SCORES_NAME, joined)
    return joined


@typechecked
def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read a file of rows, such as scores.jsonl.

    Raises:
        DataError: If it is missing, or a line is not a JSON object with the name of an utterance.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); score the set first."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not lines of JSON, which are UTF-8 text ({error}).") from error
    rows = []
    # Not splitlines(), which also cuts at characters that may be part of what was recognized.
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{number}: not a line of JSON ({error}).") from error
        is_row = isinstance(row, dict)
        name = next((row[key] for key in NAME_KEYS if key in row), None) if is_row else None
        if not isinstance(name, str):
            raise DataError(f"{path}:{number}: no utterance is named by 'utt' or 'key'.")
        rows.append({**row, "utt": name})
    return rows


@typechecked
def read_figures(path: Path) -> dict[str, dict[str, float]]:
    """Read the numbers of another program's JSON lines, such as VERSA's, by utterance.

    Their keys get the name of the file before them, e.g. versa_utmos of versa.jsonl: the same
    metric of two programs need not be the same figure.

    Raises:
        DataError: If a line is malformed.
    """
    return {
        row["utt"]: {
            f"{path.stem}_{key}": float(value)
            for key, value in row.items()
            if isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
        }
        for row in read_rows(path)
    }


@dataclasses.dataclass(frozen=True)
class System:
    """A system to score.

    Attributes:
        name: In tables and of its folder.
        place: Its audio; see `AudioSet.open`.
        others: JSON lines of another program about its audio; None where there are none.
    """

    name: str
    place: Path
    others: Path | None = None


@typechecked
def name_systems(places: Sequence[Path], others: Sequence[Path] | None = None) -> list[System]:
    """Return systems named after as many last parts of their paths as tell them apart.

    Args:
        places: Their audio.
        others: JSON lines of another program for each; None where there are none.

    Raises:
        ConfigError: If there are JSON lines for some of them only.
        DataError: If one is given twice.
    """
    if others is not None and len(others) != len(places):
        raise ConfigError(
            f"--others: {len(others)} files for {len(places)} systems; give one each."
        )
    # A list is named after the folder that it lies in.
    absolute = [(place.parent if place.suffix == ".scp" else place).absolute() for place in places]
    if len(set(absolute)) != len(absolute):
        raise DataError("A folder of resynthesized audio is given twice; give each once.")
    depth = 1
    while True:
        # Without the root: with it a name would be a path of its own, and not one below --out.
        names = ["-".join(place.parts[1:][-depth:]) for place in absolute]
        if len(set(names)) == len(names):
            files: Sequence[Path | None] = others or [None] * len(places)
            return [System(*system) for system in zip(names, places, files, strict=True)]
        depth += 1


@typechecked
def score_systems(
    originals: AudioSet,
    systems: Sequence[System],
    out_dir: Path,
    families: Sequence[str],
    workers: Workers,
    recognition: Recognition | None = None,
) -> str:
    """Score systems on the same originals, and compare each with the first; returns the tables.

    Writes a folder with scores.jsonl for each system, and RESULTS.md and results.json.
    """
    heard_before = None
    if recognition is not None:
        with exclusive(out_dir):  # once for all systems
            heard_before = recognize_files(
                recognition, originals.audio, out_dir / ORIGINAL_WORDS_NAME, workers
            )
    rows = {
        system.name: score_set(
            originals,
            AudioSet.open(system.place).named_for(originals),
            out_dir / system.name,
            families,
            workers,
            recognition,
            read_figures(system.others) if system.others else None,
            heard_before,
        )
        for system in systems
    }
    first, *rest = rows
    summaries = {}
    for name, scored in rows.items():
        missing = len(originals.audio) - len(scored)
        summaries[name] = summarize(scored) | {"missing": missing}
        if missing:
            logging.warning("%s: %d originals have no resynthesis there", name, missing)
    differences = {f"{name} less {first}": compare(rows[first], rows[name]) for name in rest}
    return write_results(out_dir, "Scores", summaries, differences)

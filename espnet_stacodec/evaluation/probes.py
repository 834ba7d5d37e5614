"""Everything that can be asked of codes, in one description and its tables (`stacodec probe`)."""

import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from typeguard import typechecked

from espnet_stacodec.errors import ConfigError, DataError
from espnet_stacodec.evaluation.code_sets import CodeSet
from espnet_stacodec.evaluation.code_statistics import bitrates, describe_books
from espnet_stacodec.evaluation.ctc_probe import probe_spelling
from espnet_stacodec.evaluation.intervals import Estimate
from espnet_stacodec.evaluation.label_probe import Accuracy, probe_labels
from espnet_stacodec.evaluation.mutual_information import information
from espnet_stacodec.evaluation.stability import Stability
from espnet_stacodec.fileio.files import read_scp, write_text
from espnet_stacodec.fileio.markdown import markdown_table


@dataclasses.dataclass(frozen=True)
class Questions:
    """What is known of the utterances; what is empty or None is not asked.

    Attributes:
        frame_labels: By name, e.g. "semantic tokens": a label (T,) of each frame, by utterance.
        labels: By name, e.g. "intent": a label of each utterance.
        texts: Transcripts, for the spelling probe.
        speakers: By utterance: asked for, and kept apart in the others' training and test.
        test: Utterances to test on; None for cross-validation (and no spelling probe).
    """

    frame_labels: Mapping[str, Mapping[str, np.ndarray]] = dataclasses.field(default_factory=dict)
    labels: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    speakers: Mapping[str, str] | None = None
    test: Sequence[str] | None = None


@typechecked
def read_lists(paths: Iterable[Path]) -> dict[str, str]:
    """Return the `<name> <value>` lines of lists of several sets together."""
    found: dict[str, str] = {}
    for path in paths:
        found |= read_scp(path, allow_empty=True)
    return found


@typechecked
def read_labels(options: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return labels by the names in `<name>=<file>` options; a name may have several files.

    Raises:
        ConfigError: If an option is something else.
    """
    found: dict[str, dict[str, str]] = {}
    for option in options:
        name, equals, path = option.partition("=")
        if not (name and equals and path):
            raise ConfigError(f"--labels: '{option}' is not NAME=FILE.")
        found.setdefault(name, {}).update(read_lists([Path(path)]))
    return found


@typechecked
def probe(codes: CodeSet, questions: Questions) -> dict[str, Any]:
    """Return what codes know, as JSON can say it.

    Returns:
        utterances, frame_rate_hz; kbps: nominal, order_0, order_1; books: for each codebook its
        statistics (`code_statistics.BookStatistics`); information, labels, speaker, spelling: for
        each question a list with an entry for each codebook.
    """
    books = describe_books(codes)
    found: dict[str, Any] = {
        "utterances": len(codes.codes),
        "frame_rate_hz": codes.frame_rate_hz,
        "kbps": bitrates(codes, books),
        "books": [dataclasses.asdict(book) for book in books],
        "information": {
            name: [dataclasses.asdict(one) for one in information(codes, labels)]
            for name, labels in questions.frame_labels.items()
        },
        "labels": {},
    }
    streams = [codes.stream(book) for book in range(len(codes.sizes))]
    for name, labels in questions.labels.items():
        logging.info("probing for the label %s", name)
        found["labels"][name] = [
            _accuracy(probe_labels(stream, labels, questions.test, questions.speakers))
            for stream in streams
        ]
    if questions.speakers is not None and _can_be_told_apart(questions.speakers, codes):
        logging.info("probing for the speaker")
        found["speaker"] = [
            _accuracy(probe_labels(stream, questions.speakers)) for stream in streams
        ]
    if questions.texts and questions.test is not None:
        found["spelling"] = []
        for book, stream in enumerate(streams, 1):
            logging.info("probing for the spelling with codebook %d", book)
            spelling = probe_spelling(stream, questions.texts, questions.test, questions.speakers)
            found["spelling"].append(
                {"cer": spelling.cer.value, "interval": _limits(spelling.cer)}
                | {"utterances": spelling.utterances}
            )
    return found


def _can_be_told_apart(speakers: Mapping[str, str], codes: CodeSet) -> bool:
    """Whether a probe for the speakers can be trained and tested: two have two utterances each."""
    spoken = Counter(speakers[name] for name in codes.codes if name in speakers)
    if not spoken:
        raise DataError("No utterance has codes and a speaker; their names differ.")
    if sum(number > 1 for number in spoken.values()) > 1:
        return True
    logging.warning(
        "no probe for the speaker: fewer than two speakers have two utterances or more, one to"
        " train with and one to test"
    )
    return False


@typechecked
def describe_stability(found: Mapping[str, Sequence[Stability]]) -> dict[str, list[dict]]:
    """Return the stability under each distortion as JSON can say it."""
    return {
        name: [
            {
                "unit_edit_distance": book.unit_edit_distance.value,
                "interval": _limits(book.unit_edit_distance),
                "changed": None if book.changed is None else book.changed.value,
            }
            for book in books
        ]
        for name, books in found.items()
    }


def _accuracy(found: Accuracy) -> dict[str, Any]:
    return {
        "accuracy": found.accuracy.value,
        "interval": _limits(found.accuracy),
        "majority": found.majority,
        "utterances": found.utterances,
        "labels": found.labels,
    }


def _limits(estimate: Estimate) -> list[float] | None:
    limits = [estimate.low, estimate.high]
    return limits if np.isfinite(limits).all() else None


@typechecked
def write_probe(folder: Path, title: str, found: Mapping[str, Any]) -> str:
    """Write PROBE.md and probe.json (one line) into `folder`; return the tables."""
    sections = [f"# {title}", _books(found)]
    kbps = found["kbps"]
    sections.append(
        f"Of {found['utterances']} utterances, at {found['frame_rate_hz']:g} frames per second:"
        f" {kbps['nominal']:.2f} kbit/s nominal, {kbps['order_0']:.2f} with an entropy coder that"
        f" knows how frequent each code is, {kbps['order_1']:.2f} if it knows the code before, too"
        " (frequencies of the other half of them)."
    )
    for name, rows in found["information"].items():
        cells = [
            [
                book,
                f"{row['bits']:.2f}",
                f"{100 * row['share']:.1f}",
                f"{100 * row['purity']:.1f}",
                f"{row['chance']:.2f}",
            ]
            for book, row in enumerate(rows, 1)
        ]
        headings = ["codebook", "bits", "of their entropy (%)", "purity (%)", "chance (bits)"]
        sections += [f"## What codes say of {name}", markdown_table(headings, cells)]
    asked = dict(found["labels"])
    if "speaker" in found:
        asked["speaker"] = found["speaker"]
    for name, rows in asked.items():
        about = f"{rows[0]['labels']} labels, {rows[0]['utterances']} utterances tested;"
        about += f" the commonest label: {rows[0]['majority']:.1f} %."
        cells = [[book, _percent(row, "accuracy")] for book, row in enumerate(rows, 1)]
        table = markdown_table(["codebook", "right (%)"], cells)
        sections += [f"## Linear probe: {name}", table, about]
    if "spelling" in found:
        cells = [[book, _percent(row, "cer")] for book, row in enumerate(found["spelling"], 1)]
        sections.append("## Spelling probe")
        sections.append(markdown_table(["codebook", "character errors (%)"], cells))
    if "stability" in found:
        sections += ["## Stability", _stability(found["stability"])]
    table = "\n\n".join(sections) + "\n"
    write_text(folder / "probe.json", json.dumps({"title": title, **found}) + "\n")
    write_text(folder / "PROBE.md", table)
    return table


def _books(found: Mapping[str, Any]) -> str:
    headings = [
        "codebook",
        "entries",
        "used",
        "dead",
        "perplexity",
        "bits a code",
        "given the last",
    ]
    rows = [
        [
            number,
            *(book[key] for key in ("entries", "used", "dead")),
            *(f"{book['perplexity']:.0f}", f"{book['entropy_0']:.2f}", f"{book['entropy_1']:.2f}"),
        ]
        for number, book in enumerate(found["books"], 1)
    ]
    return markdown_table(headings, rows)


def _percent(row: Mapping[str, Any], key: str) -> str:
    limits = row["interval"]
    return f"{row[key]:.1f}" + (f" ({limits[0]:.1f} to {limits[1]:.1f})" if limits else "")


def _stability(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return the table: edits of the first codebook, and the mean of the others."""
    headings = [
        "copy",
        "codebook 1: edits (%)",
        "others",
        "codebook 1: changed frames (%)",
        "others",
    ]
    rows = []
    for name, books in found.items():
        first, *others = books
        cells: list[object] = [name, _percent(first, "unit_edit_distance")]
        cells.append(_mean([book["unit_edit_distance"] for book in others]))
        cells.append(_mean([first["changed"]]))
        cells.append(_mean([book["changed"] for book in others]))
        rows.append(cells)
    return markdown_table(headings, rows)


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.1f}" if known else "-"

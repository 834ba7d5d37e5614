"""From systems to the page: what is shown, and one HTML file that holds all of it."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml
from typeguard import typechecked

from espnet_stacodec import __version__
from espnet_stacodec.config import whole_number
from espnet_stacodec.errors import DataError
from espnet_stacodec.evaluation.metrics import METRICS
from espnet_stacodec.evaluation.report import figures, plots, selection, versions
from espnet_stacodec.evaluation.report.cards import CHIPS, make_cards
from espnet_stacodec.evaluation.report.labels import names_apart, score_keys, written
from espnet_stacodec.evaluation.report.system import System
from espnet_stacodec.evaluation.results import metric_of
from espnet_stacodec.evaluation.summaries import compare
from espnet_stacodec.fileio.files import write_text
from espnet_stacodec.parallel import Workers

MAX_BYTES = 25_000_000
FIDELITY = "pesq_wb"
# Utterances are chosen by the first of these that any has: PESQ, but tones have none.
RANKED_BY = [key for key, metric in METRICS.items() if metric.higher_is_better is not None]


@typechecked
def write_report(
    systems: Sequence[System], out: Path, workers: Workers, curve_utterances: int = 20
) -> Path:
    """Write the page of a system, compared with others if more are given; return its path.

    Args:
        systems: The first is what the page is about.
        out: The .html file.
        workers: Who decodes and scores.
        curve_utterances: Utterances on which fidelity is measured for each number of codebooks.

    Raises:
        StageError: If an experiment was not decoded, or its originals are not found.
        DataError: If systems share no utterance, or one is given twice.
        ConfigError: If `curve_utterances` is below 1.
    """
    whole_number("curve_utterances", curve_utterances, 1)
    names = names_apart([system.folder for system in systems])
    systems = [
        dataclasses.replace(system, label=name) for system, name in zip(systems, names, strict=True)
    ]
    main = systems[0]
    utts = shared_utterances(systems)
    rows = {utt: main.rows[utt] for utt in utts}
    key = ranking_key(main, rows)
    chosen = selection.choose(rows, key)
    content = {
        "title": main.name,
        "dataset": main.dataset,
        "ranked_by": metric_of(key).title,
        "version": __version__,
        "systems": [describe(system) for system in systems],
        "configurations": [configuration(system) for system in systems],
        "tables": score_table(systems),
        "plots": draw_plots(systems, utts, workers, curve_utterances),
        "training": draw_training(systems),
        "worst": worst(main, rows, key),
        **make_cards(systems, chosen, workers),
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("espnet_stacodec.evaluation.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    write_text(out, environment.get_template("page.html.j2").render(content))
    return out


def shared_utterances(systems: Sequence[System]) -> list[str]:
    """Return the utterances that all systems have.

    Raises:
        DataError: If there are none.
    """
    shared = [utt for utt in systems[0].rows if all(utt in system.rows for system in systems)]
    if not shared:
        names = ", ".join(str(system.decoded) for system in systems)
        raise DataError(f"{names}: these have no utterance in common; compare on one set.")
    return shared


def ranking_key(system: System, rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the score that utterances are chosen by.

    Raises:
        DataError: If no utterance has any.
    """
    for key in RANKED_BY:
        if any(row.get(key) is not None for row in rows.values()):
            return key
    raise DataError(f"{system.decoded}: no utterance has a score, by which they are chosen.")


def describe(system: System) -> list[tuple[str, str]]:
    """Return what a system is: names and values."""
    codec = system.codec
    made = system.provenance
    weights = sum(p.numel() for p in codec.generator.parameters())
    found = {
        "experiment": system.name,
        "set": f"{system.dataset}, {len(system.rows)} utterances",
        "semantic tokens": f"{codec.token_kind}: {system.semantic_folder or 'none'}",
        "codebooks": f"{codec.n_codebooks} of {codec.codebook_sizes[0]} entries,"
        f" {codec.bits_per_second() / 1000:.2f} kbit/s",
        "parameters": f"{weights / 1e6:.2f} million",
        "trained": length_of_training(len(system.epochs), figures.training_seconds(system)),
        "training data": system.training_set,
        "data's fingerprints": ", ".join(f"{k} {v}" for k, v in made.get("data", {}).items()),
        "seed": str(system.config.get("seed")),
        "codec's fingerprint": codec.fingerprint,
        "git revision": made.get("git_revision", "not known"),
        "versions": ", ".join(f"{k} {v}" for k, v in made.get("versions", {}).items()),
    }
    return [(name, value) for name, value in found.items() if value]


def length_of_training(epochs: int, seconds: float | None) -> str:
    """Return how long a training was; "" where none is known, as without its checkpoint.pth."""
    if not epochs:
        return ""
    number = "1 epoch" if epochs == 1 else f"{epochs} epochs"
    return number if seconds is None else f"{number}, {seconds / 60:.0f} minutes"


def configuration(system: System) -> str:
    """Return what a training was asked for, as YAML."""
    asked = system.provenance.get("configuration", system.config)
    return yaml.safe_dump(asked, sort_keys=False, allow_unicode=True)


def score_table(systems: Sequence[System]) -> dict[str, Any]:
    """Return head and rows of the table of scores: of each system, and differences to the first."""
    main, *others = systems
    head = [system.name for system in systems] + [f"{other.name} − {main.name}" for other in others]
    differences = [compare([*main.rows.values()], [*other.rows.values()]) for other in others]
    rows = []
    for key in score_keys([system.summary for system in systems]):
        cells = [
            (written(key, s.summary.get(key), s.summary.get(f"{key}_interval")), False)
            for s in systems
        ]
        for difference in differences:
            found = difference["figures"].get(key, {})
            text = written(key, found["difference"], found["interval"]) if found else ""
            cells.append((text, found.get("clear", False)))
        rows.append((metric_of(key).title, cells))
    return {
        "head": head,
        "rows": rows,
        "has_intervals": any("(" in text for _, cells in rows for text, _ in cells),
    }


def draw_plots(
    systems: Sequence[System], utts: Sequence[str], workers: Workers, curve_utterances: int
) -> list[tuple[str, list[str]]]:
    """Return the plots by heading, as svg elements."""
    some = utts[:: max(1, len(utts) // curve_utterances)][:curve_utterances]
    against_bitrate: dict[str, dict[str, dict[float, float]]] = {"PESQ-WB": {}, "STOI": {}}
    used, places = {}, {}
    for system in systems:
        codec = system.codec
        codes = {utt: system.codes(utt) for utt in utts}
        used[system.name] = figures.usage(list(codes.values()), codec.codebook_choices)
        depths = list(range(1, codec.n_codebooks + 1))
        made = versions.decode(system, some, depths, workers, scored=True)
        for score, lines in against_bitrate.items():
            lines[system.name] = {
                codec.bits_per_second(depth) / 1000: figures.mean_score(
                    [made[utt][depth].scores for utt in some], score
                )
                for depth in depths
            }
        shared = figures.meaning(system, codes)
        fidelity = figures.mean_score([system.rows[utt] for utt in utts], FIDELITY)
        if shared is not None and math.isfinite(fidelity):
            places[system.name] = (shared, fidelity)
    parts = [
        ("Fidelity against bitrate", [
            plots.curves(f"{score} of {len(some)} utterances", lines, "kbit/s", score, "o")
            for score, lines in against_bitrate.items()
            if any(math.isfinite(value) for line in lines.values() for value in line.values())
        ]),
        ("Codebooks", [
            plots.bars(title, {name: found[key] for name, found in used.items()}, "codebook", "")
            for key, title in (("share", "Entries that occur (%)"), ("perplexity", "Perplexity"))
        ]),
    ]  # fmt: skip
    if len(systems) > 1 and places:
        title = "Fidelity against meaning"
        meaning = "information of the semantic tokens in RVQ-1 (%)"
        parts.insert(1, (title, [plots.points(title, places, meaning, "PESQ-WB")]))
    return [(heading, drawn) for heading, drawn in parts if drawn]


def draw_training(systems: Sequence[System]) -> list[tuple[str, list[str]]]:
    """Return the plots of the trainings by heading, as svg elements."""
    parts = []
    for system in systems:
        lines = figures.training_curves(system)
        drawn = [plots.curves(title, line, "epoch", "") for title, line in lines.items()]
        if drawn:
            parts.append((f"Training of {system.name}" if len(systems) > 1 else "Training", drawn))
    return parts


def worst(system: System, rows: Mapping[str, Mapping[str, Any]], by: str) -> dict[str, Any]:
    """Return the list of the worst utterances: titles of its columns, and rows."""
    keys = [key for key in CHIPS if any(row.get(key) is not None for row in rows.values())]
    utts = selection.ranked(rows, by)[: selection.WORST_LISTED]
    return {
        "head": [metric_of(key).title for key in keys],
        "rows": [
            (utt, system.texts.get(utt, ""), [written(key, rows[utt].get(key)) for key in keys])
            for utt in utts
        ],
    }

"""Figures of all variants over their seeds: ABLATIONS.md, ablations.json and plots."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ablation_measures import LATENCY, TOKEN_INFORMATION, TOKENS_RIGHT, Probe
from ablation_plots import PLOTTED, plot_latency, plot_meaning

from espnet_stacodec.evaluation.intervals import Estimate, over_seeds
from espnet_stacodec.evaluation.results import SHOWN
from espnet_stacodec.fileio.files import write_text
from espnet_stacodec.fileio.markdown import markdown_table

# Columns of fidelity, where they were measured.
FIDELITY = ("pesq_wb", "stoi", "si_sdr", "f0_correlation", "speaker_similarity")
TOKEN_TITLES = {
    TOKEN_INFORMATION: "what RVQ-1 says of the token (% of its entropy)",
    TOKENS_RIGHT: "RVQ-1 is the token (%)",
}


def write_tables(
    folder: Path,
    runs: Sequence[Mapping[str, Any]],
    references: Mapping[str, Mapping[str, float]],
    probes: Sequence[Probe],
) -> str:
    """Write ABLATIONS.md, ablations.json and plots; return the tables.

    With a probe ablations.png is drawn, and latency.png where codecs stream.

    Args:
        folder: Where to write.
        runs: variant, seed and figures of each training.
        references: What others than a codec reach, by probe.
        probes: What was asked; the first one is the plots'.
    """
    seeds = list(dict.fromkeys(run["seed"] for run in runs))
    estimates = estimate(runs)
    fidelity = [key for key in FIDELITY if any(key in found for found in estimates.values())]
    streams = any(LATENCY in found for found in estimates.values())
    rows = [
        [
            name,
            *([_latency(found.get(LATENCY))] if streams else []),
            *(_cell(found.get(key), SHOWN[key].digits) for key in fidelity),
        ]
        for name, found in estimates.items()
    ]
    headings = ["variant", *(["latency (ms)"] if streams else [])]
    headings += [SHOWN[key].title for key in fidelity]
    sections = ["## What is kept", markdown_table(headings, rows)]

    meaning = [*TOKEN_TITLES, *(probe.name for probe in probes)]
    rows = [
        [name, *(_cell(found.get(key), 1) for key in meaning)] for name, found in estimates.items()
    ]
    rows += [
        [name, *(_cell(_known(found.get(key)), 1) for key in meaning)]
        for name, found in references.items()
    ]
    titles = [*TOKEN_TITLES.values(), *(probe.title for probe in probes)]
    sections += ["## What RVQ-1 knows", markdown_table(["variant", *titles], rows)]
    sections.append(
        f"Seeds: {', '.join(map(str, seeds))}. Mean ± half of the 95 % interval over the seeds"
        " (Student's t); where there is no ±, one seed was trained."
    )
    text = "\n\n".join(sections) + "\n"
    content = {"runs": runs, "references": references}
    write_text(folder / "ablations.json", json.dumps(content) + "\n")
    write_text(folder / "ABLATIONS.md", text)
    if probes and PLOTTED in fidelity:
        plot_meaning(folder / "ablations.png", estimates, references, probes[0])
    if probes and streams:
        plot_latency(folder / "latency.png", estimates, probes[0])
    return text


def estimate(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Estimate]]:
    """Return mean and interval over the seeds of each figure of each variant, by their names."""
    by_variant: dict[str, list[Mapping[str, float | None]]] = {}
    for run in runs:
        by_variant.setdefault(run["variant"], []).append(run["figures"])
    return {
        name: {key: over_seeds([one[key] for one in figures]) for key in figures[0]}
        for name, figures in by_variant.items()
    }


def _known(value: float | None) -> Estimate | None:
    return None if value is None else Estimate(value, np.nan, np.nan)


def _latency(found: Estimate | None) -> str:
    return "the whole" if found is None else f"{found.value:.0f}"


def _cell(found: Estimate | None, digits: int) -> str:
    if found is None or np.isnan(found.value):
        return "-"
    half = (found.high - found.low) / 2
    return f"{found.value:.{digits}f}" + ("" if np.isnan(half) else f" ± {half:.{digits}f}")

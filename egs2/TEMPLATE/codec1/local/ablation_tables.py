"""Figures of all variants over their seeds: ABLATIONS.md, ablations.json and a plot."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ablation_measures import TOKEN_INFORMATION, TOKENS_RIGHT, Probe

from espnet_stacodec.evaluation.intervals import Estimate, over_seeds
from espnet_stacodec.evaluation.report.plots import COLORS
from espnet_stacodec.evaluation.results import SHOWN
from espnet_stacodec.fileio.files import atomic_write, write_text
from espnet_stacodec.fileio.markdown import markdown_table

# Columns of fidelity, where they were measured.
FIDELITY = ("pesq_wb", "stoi", "si_sdr", "f0_correlation", "speaker_similarity")
PLOTTED = "stoi"  # tells short trainings apart, which are all at the bottom of PESQ
MARKERS = "osD^vP*XHph"
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
    """Write ABLATIONS.md, ablations.json and, with a probe, ablations.png; return the tables.

    Args:
        folder: Where to write.
        runs: variant, seed and figures of each training.
        references: What others than a codec reach, by probe.
        probes: What was asked; the first one is the plot's.
    """
    seeds = list(dict.fromkeys(run["seed"] for run in runs))
    estimates = estimate(runs)
    fidelity = [key for key in FIDELITY if any(key in found for found in estimates.values())]
    rows = [
        [name, *(_cell(found.get(key), SHOWN[key].digits) for key in fidelity)]
        for name, found in estimates.items()
    ]
    headings = ["variant", *(SHOWN[key].title for key in fidelity)]
    sections = ["## What is kept", markdown_table(headings, rows)]

    meaning = [*TOKEN_TITLES, *(probe.name for probe in probes)]
    rows = [
        [name, *(_cell(found.get(key), 1) for key in meaning)] for name, found in estimates.items()
    ]
    rows += [
        [name, *(_cell(_known(found.get(key)), 1) for key in meaning)]
        for name, found in references.items()
    ]
    titles = [*TOKEN_TITLES.values(), *map(_title, probes)]
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
        plot(folder / "ablations.png", estimates, references, probes[0])
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


def _title(probe: Probe) -> str:
    return f"{probe.name} (% wrong)" if probe.spelling else f"{probe.name} (% right)"


def _cell(found: Estimate | None, digits: int) -> str:
    if found is None or np.isnan(found.value):
        return "-"
    half = (found.high - found.low) / 2
    return f"{found.value:.{digits}f}" + ("" if np.isnan(half) else f" ± {half:.{digits}f}")


def plot(
    path: Path,
    estimates: Mapping[str, Mapping[str, Estimate]],
    references: Mapping[str, Mapping[str, float]],
    probe: Probe,
) -> None:
    """Draw each variant's meaning against its fidelity, with intervals over the seeds."""
    from matplotlib.figure import Figure

    figure = Figure((8, 4.2), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    for number, (name, found) in enumerate(estimates.items()):
        across, up = found[PLOTTED], found[probe.name]
        bars = [[[one.value - one.low], [one.high - one.value]] for one in (across, up)]
        # Variants lie close: they are told apart by the legend, and by colour and form.
        axes.errorbar(
            [across.value], [up.value], bars[1], bars[0], MARKERS[number % len(MARKERS)],
            color=COLORS[number % len(COLORS)], label=name, ms=7, capsize=3, elinewidth=1
        )  # fmt: skip
    figure.legend(loc="outside right upper", frameon=False)
    for name, known in references.items():
        if probe.name in known:
            axes.axhline(known[probe.name], color="#777777", lw=1, ls=":")
            axes.annotate(
                name, (1, known[probe.name]), xycoords=axes.get_yaxis_transform(),
                xytext=(-4, 3), textcoords="offset points", ha="right", color="#555555"
            )  # fmt: skip
    axes.margins(0.15)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    axes.set(
        xlabel=f"fidelity: {SHOWN[PLOTTED].title} of all codebooks",
        ylabel=f"meaning of RVQ-1: {_title(probe)}",
    )
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")

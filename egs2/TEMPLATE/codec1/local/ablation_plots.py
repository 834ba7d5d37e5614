"""Plots of variants over their seeds: meaning against fidelity, and what streaming costs."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ablation_measures import LATENCY, TOKENS_RIGHT, Probe

from espnet_stacodec.evaluation.intervals import Estimate
from espnet_stacodec.evaluation.report.plots import COLORS
from espnet_stacodec.evaluation.results import SHOWN
from espnet_stacodec.fileio.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLOTTED = "stoi"  # tells short trainings apart, which are all at the bottom of PESQ
MARKERS = "osD^vP*XHph"

# By variant, then by figure.
Estimates = Mapping[str, Mapping[str, Estimate]]


def plot_meaning(
    path: Path,
    estimates: Estimates,
    references: Mapping[str, Mapping[str, float]],
    probe: Probe,
) -> None:
    """Draw each variant's meaning against its fidelity, with intervals over the seeds.

    Args:
        path: The PNG to write.
        estimates: The figures.
        references: What others than a codec reach, by probe.
        probe: What was asked.
    """
    figure, axes = _axes()
    for number, (name, found) in enumerate(estimates.items()):
        across, up = found[PLOTTED], found[probe.name]
        # Variants lie close: they are told apart by the legend, and by colour and form.
        axes.errorbar(
            [across.value], [up.value], _bars([up]), _bars([across]),
            MARKERS[number % len(MARKERS)],
            color=COLORS[number % len(COLORS)], label=name, ms=7, capsize=3, elinewidth=1
        )  # fmt: skip
    figure.legend(loc="outside right upper", frameon=False)
    for name, known in references.items():
        if probe.name in known:
            _level(axes, known[probe.name], name, "#777777")
    axes.set(
        xlabel=f"fidelity: {SHOWN[PLOTTED].title} of all codebooks",
        ylabel=f"meaning of RVQ-1: {probe.title}",
    )
    _save(figure, path)


def plot_latency(path: Path, estimates: Estimates, probe: Probe) -> None:
    """Draw, over the latency of codecs that stream, how many tokens and labels are right.

    Dotted lines say what codecs that do not stream reach. Arguments as of `plot_meaning`.
    """
    figure, axes = _axes()
    streaming = [found for found in estimates.values() if LATENCY in found]
    streaming.sort(key=lambda found: found[LATENCY].value)
    others = {name: found for name, found in estimates.items() if LATENCY not in found}
    latencies = [found[LATENCY].value for found in streaming]
    titles = {probe.name: probe.title, TOKENS_RIGHT: "RVQ-1 is the token (%)"}
    for (key, title), color, marker in zip(titles.items(), COLORS, MARKERS, strict=False):
        of_key = [found[key] for found in streaming]
        values = [one.value for one in of_key]
        axes.errorbar(
            latencies, values, _bars(of_key), None, f"-{marker}", color=color, label=title,
            ms=7, capsize=3, elinewidth=1
        )  # fmt: skip
        for name, found in others.items():
            if key in found:
                _level(axes, found[key].value, name, color)
    axes.set(xlabel="latency of the codes (ms)", ylabel="%", xticks=latencies)
    figure.legend(loc="outside upper center", ncols=len(titles), frameon=False)
    _save(figure, path)


def _axes() -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure((8, 4.2), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    axes.margins(0.15)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    return figure, axes


def _bars(estimates: list[Estimate]) -> np.ndarray:
    """Return (2, n): how far the intervals reach below and above their values."""
    ends = [(one.value - one.low, one.high - one.value) for one in estimates]
    return np.array(ends).T


def _level(axes: "Axes", value: float, name: str, color: str) -> None:
    """Draw a named, dotted line across."""
    axes.axhline(value, color=color, lw=1, ls=":")
    axes.annotate(
        name, (1, value), xycoords=axes.get_yaxis_transform(),
        xytext=(-4, 3), textcoords="offset points", ha="right", color=color
    )  # fmt: skip


def _save(figure: "Figure", path: Path) -> None:
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")

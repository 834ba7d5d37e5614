"""Plots as SVG that takes its colours of text and lines from the page, light or dark."""

import io
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Okabe and Ito: told apart by those who do not see all colours, on white and on black.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
INK = "#010203"  # becomes the page's colour of text
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "stacodec", "font.size": 9, "axes.spines.top": False,
    "axes.spines.right": False, "legend.frameon": False, "font.family": "sans-serif",
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK,
    "ytick.color": INK, "axes.titlecolor": INK, "grid.color": INK, "grid.alpha": 0.15,
    "axes.titlesize": 10, "axes.axisbelow": True, "axes.prop_cycle": cycler(color=COLORS),
}  # fmt: skip


def draw(plot: Callable[[Axes], None], width: float = 4.6, height: float = 2.9) -> str:
    """Return what `plot` draws as an svg element, transparent and as wide as its place."""
    with mpl.rc_context(STYLE):
        figure = Figure((width, height), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        axes.grid(visible=True)
        plot(axes)
        buffer = io.StringIO()
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    # Ids are of the whole page, in which there are several plots.
    unique = f"p{zlib.crc32(svg.encode()):08x}-"
    svg = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{unique}", svg)
    return re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", re.sub(
        r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", svg, count=1), count=1)  # fmt: skip


def curves(
    title: str, series: Mapping[str, Mapping[float, float]], x: str, y: str, marker: str = ""
) -> str:
    """Draw lines by name: {x: y}."""

    def plot(axes: Axes) -> None:
        for name, points in series.items():
            axes.plot(list(points), list(points.values()), label=name, marker=marker, ms=4)
        axes.set(title=title, xlabel=x, ylabel=y)
        if all(float(place).is_integer() for line in series.values() for place in line):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(series) > 1:
            axes.legend()

    return draw(plot)


def bars(title: str, values: Mapping[str, Sequence[float]], x: str, y: str) -> str:
    """Draw bars from 1 on, those of several systems beside each other."""

    def plot(axes: Axes) -> None:
        width = 0.8 / len(values)
        for number, (name, heights) in enumerate(values.items()):
            places = [i + (number + 0.5) * width - 0.4 for i in range(1, len(heights) + 1)]
            axes.bar(places, heights, width, label=name)
        axes.set(title=title, xlabel=x, ylabel=y)
        axes.set_xticks(range(1, max(map(len, values.values())) + 1))
        if len(values) > 1:
            axes.legend()

    return draw(plot)


def points(title: str, places: Mapping[str, tuple[float, float]], x: str, y: str) -> str:
    """Draw named points."""

    def plot(axes: Axes) -> None:
        for name, (across, up) in places.items():
            axes.plot([across], [up], marker="o", ms=7, linestyle="")
            axes.annotate(name, (across, up), xytext=(6, 4), textcoords="offset points")
        axes.margins(0.25)
        axes.set(title=title, xlabel=x, ylabel=y)

    return draw(plot)

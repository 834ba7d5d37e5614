"""Scores of sets or systems as Markdown tables for people and a JSON line for programs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from espnet_stacodec.evaluation.intervals import FEWEST_SPEAKERS
from espnet_stacodec.evaluation.metrics import METRICS, Metric
from espnet_stacodec.evaluation.scoring import COUNTED
from espnet_stacodec.evaluation.summaries import RATES, Row
from espnet_stacodec.fileio.files import write_text
from espnet_stacodec.fileio.markdown import markdown_table

RESULTS_NAME, TABLE_NAME = "results.json", "RESULTS.md"
# Of stage 6, beside the metrics.
COSTS = {
    "kbps": Metric("kbit/s", 2, None),
    "rtf_encode": Metric("RTF encode", 3, False),
    "rtf_decode": Metric("RTF decode", 3, False),
}
SHOWN: dict[str, Metric] = {
    **METRICS,
    **{key: figure.metric for key, figure in RATES.items()},
    **COSTS,
}
# Endings of keys that say more about the figure of the same name.
MORE = ("_interval", "_undefined")
ABOUT_SETS = ("utterances", "missing", "speakers", "intervals_over", "statuses", "text_is")


def costs(rows: Sequence[Row], kbps: float) -> dict[str, float]:
    """Return what encoding and decoding a set cost.

    Args:
        rows: With num_samples, sample_rate, encode_seconds and decode_seconds.
        kbps: Bitrate of the codec (kbit/s).

    Returns:
        kbps, and rtf_encode and rtf_decode: seconds of computing for a second of audio.
    """
    seconds = sum(row["num_samples"] / row["sample_rate"] for row in rows)
    return {
        "kbps": kbps,
        "rtf_encode": sum(row["encode_seconds"] for row in rows) / seconds,
        "rtf_decode": sum(row["decode_seconds"] for row in rows) / seconds,
    }


def write_results(
    folder: Path,
    title: str,
    summaries: Mapping[str, Mapping[str, Any]],
    differences: Mapping[str, Mapping[str, Any]] | None = None,
    codec: str | None = None,
) -> str:
    """Write RESULTS.md and results.json (one line) into `folder`; return the tables.

    Args:
        folder: Where to write.
        title: What was scored.
        summaries: The summary of each set or system.
        differences: Of pairs of systems, by name; see `summaries.compare`.
        codec: Fingerprint of the codec that resynthesized all sets, if it is one.
    """
    sections = [f"# {title}", _table(summaries), *_notes(summaries)]
    if differences:
        sections += ["## Paired differences", _difference_table(differences)]
        sections.append("Over the same utterances; in bold where the 95 % interval excludes zero.")
    table = "\n\n".join(sections) + "\n"
    content: dict[str, Any] = {"title": title, "sets": summaries}
    if differences:
        content["differences"] = differences
    if codec is not None:
        content["codec"] = codec
    write_text(folder / RESULTS_NAME, json.dumps(content) + "\n")
    write_text(folder / TABLE_NAME, table)
    return table


def metric_of(key: str) -> Metric:
    """Return how a figure is shown; one of another program by its own name."""
    return SHOWN.get(key, Metric(key, 3, None))


def _keys(summaries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the keys of figures, in the order of the table."""
    there = list(dict.fromkeys(key for summary in summaries.values() for key in summary))
    figures = [key for key in there if not key.endswith(MORE) and key not in ABOUT_SETS]
    return [key for key in SHOWN if key in figures] + [key for key in figures if key not in SHOWN]


def _table(summaries: Mapping[str, Mapping[str, Any]]) -> str:
    rows: list[list[object]] = [
        [name, *(_count(summary[name]) for summary in summaries.values())]
        for name in ("utterances", "speakers")
    ]
    for key in _keys(summaries):
        metric = metric_of(key)
        cells = [
            _cell(metric, summary.get(key), summary.get(f"{key}_interval"))
            for summary in summaries.values()
        ]
        rows.append([metric.title, *cells])
    return markdown_table(["", *summaries], rows)


def _count(number: int | None) -> str:
    return "not known" if number is None else str(number)


def _cell(metric: Metric, value: float | None, interval: Sequence[float] | None) -> str:
    if value is None:
        return "-"
    low_high = " to ".join(f"{limit:.{metric.digits}f}" for limit in interval or ())
    return f"{value:.{metric.digits}f}" + (f" ({low_high})" if low_high else "")


def _notes(summaries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    notes = ["In brackets: 95 % bootstrap intervals."]
    for name, summary in summaries.items():
        speakers, over = summary["speakers"], summary["intervals_over"]
        if speakers and over == "utterances":
            these = "this speaker" if speakers == 1 else f"these {speakers} speakers"
            notes.append(
                f"{name}: the intervals hold for other utterances of {these}, not for other"
                f" speakers, for which at least {FEWEST_SPEAKERS} are needed."
            )
        for status, number in summary["statuses"].items():
            apart = "" if status in COUNTED else ", and counted apart"
            notes.append(f"{name}: {number} utterances are {status}{apart}.")
        if missing := summary.get("missing"):
            notes.append(f"{name}: {missing} originals have no resynthesis, and are not scored.")
        for key in _keys(summaries):
            if number := summary.get(f"{key}_undefined"):
                notes.append(
                    f"{name}: {metric_of(key).title} is not defined for {number} utterances."
                )
        if summary["text_is"]:
            notes.append(f"{name}: words are compared with the {summary['text_is']}.")
    return ["\n".join(f"- {note}" for note in notes)]


def _difference_table(differences: Mapping[str, Mapping[str, Any]]) -> str:
    keys = list(
        dict.fromkeys(key for difference in differences.values() for key in difference["figures"])
    )
    rows: list[list[object]] = [
        ["utterances", *(difference["utterances"] for difference in differences.values())]
    ]
    for key in keys:
        metric = metric_of(key)
        cells = []
        for difference in differences.values():
            found = difference["figures"].get(key, {})
            cell = _cell(metric, found.get("difference"), found.get("interval"))
            cells.append(f"**{cell}**" if found.get("clear") else cell)
        rows.append([metric.title, *cells])
    return markdown_table(["", *differences], rows)

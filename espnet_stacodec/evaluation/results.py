"""The scores of an experiment as a Markdown table for people and a JSON line for programs."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from espnet_stacodec.evaluation.metrics import SAMPLE_RATE
from espnet_stacodec.fileio.files import write_text
from espnet_stacodec.fileio.markdown import markdown_table

# Column heading, key, and digits after the point.
COLUMNS = (
    ("PESQ-WB", "pesq", 2),
    ("STOI", "stoi", 3),
    ("SI-SDR (dB)", "si_sdr", 2),
    ("mel distance", "mel_distance", 3),
    ("kbit/s", "kbps", 2),
    ("RTF encode", "rtf_encode", 3),
    ("RTF decode", "rtf_decode", 3),
)
METRICS = ("pesq", "stoi", "si_sdr", "mel_distance")


def summarize(rows: Sequence[Mapping], kbps: float) -> dict[str, float]:
    """Return the means of a set's rows, over the utterances for which a metric is not None.

    Args:
        rows: What `decode_set` returns.
        kbps: Bitrate of the codec (kbit/s).
    """
    summary: dict[str, float] = {"utterances": len(rows)}
    for name in METRICS:
        values = [row[name] for row in rows if row[name] is not None]
        summary[name] = float(np.mean(values)) if values else math.nan
        summary[f"{name}_undefined"] = len(rows) - len(values)
    seconds = sum(row["num_samples"] for row in rows) / SAMPLE_RATE
    summary["kbps"] = kbps
    summary["rtf_encode"] = sum(row["encode_seconds"] for row in rows) / seconds
    summary["rtf_decode"] = sum(row["decode_seconds"] for row in rows) / seconds
    return summary


def write_results(folder: Path, title: str, summaries: Mapping[str, Mapping[str, float]]) -> str:
    """Write RESULTS.md and results.json (one line) into `folder`; return the table.

    Args:
        folder: The experiment.
        title: What was decoded with what.
        summaries: The summary of each set.
    """
    rows, notes = [], []
    for name, summary in summaries.items():
        cells = [f"{summary[key]:.{digits}f}" for _, key, digits in COLUMNS]
        rows.append([name, summary["utterances"], *cells])
        notes += [
            f"{name}: {metric} is not defined for {summary[f'{metric}_undefined']} utterances"
            " (silence or too short), which do not count in its mean."
            for metric in METRICS
            if summary[f"{metric}_undefined"]
        ]
    headings = ["dataset", "utterances", *(heading for heading, _, _ in COLUMNS)]
    lines = [f"# {title}", "", markdown_table(headings, rows)]
    table = "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"
    # JSON has no NaN: what is not defined is null.
    sets = {
        name: {key: value if math.isfinite(value) else None for key, value in summary.items()}
        for name, summary in summaries.items()
    }
    write_text(folder / "results.json", json.dumps({"title": title, "sets": sets}) + "\n")
    write_text(folder / "RESULTS.md", table)
    return table

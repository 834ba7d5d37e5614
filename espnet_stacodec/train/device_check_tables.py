"""What a check of a device has measured, as tables."""

from collections.abc import Mapping
from typing import Any

from espnet_stacodec.fileio.markdown import markdown_table


def tables(report: Mapping[str, Any]) -> str:
    """Return a report of trainings and codings, as dictionaries, as Markdown tables."""
    shown = ("mel_loss", "reconstruct_loss", "token_loss", "adv_loss", "discriminator_loss")
    trainings = [
        [
            row["configuration"],
            row["precision"],
            row["steps"],
            f"{row['step_seconds']:.3f}",
            f"{row['memory_gb']:.1f}",
            row["skipped"],
            *(_change(row, name) for name in shown),
        ]
        for row in report["trainings"]
    ]
    headings = ["configuration", "precision", "steps", "s/step", "memory (GB)", "skipped", *shown]
    coding = [
        [
            row["configuration"],
            row["device"],
            row["batch_size"],
            row["precision"],
            f"{row['encode_speed']:.1f}",
            f"{row['decode_speed']:.1f}",
            f"{100 * row['equal_codes']:.2f}",
            f"{100 * row['equal_first_codes']:.2f}",
            f"{row['largest_difference']:.1e}",
        ]
        for row in report["coding"]
    ]
    coded = ["configuration", "device", "batch", "precision"]
    coded += ["encode (x real time)", "decode (x real time)"]
    coded += ["equal codes (%)", "equal first codes (%)", "largest difference"]
    return (
        f"{report['device']}, torch {report['torch']}, batch {report['batch_size']}\n\n"
        f"{markdown_table(headings, trainings)}\n\n{markdown_table(coded, coding)}\n"
    )


def _change(row: Mapping[str, Any], name: str) -> str:
    """Return a figure's change over a training; "-" where there is none."""
    if name not in row["first"]:
        return "-"
    return f"{row['first'][name]:.3g} -> {row['last'][name]:.3g}"

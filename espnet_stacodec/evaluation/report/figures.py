"""What the page's plots show: figures of codes, of the training, of the bitrate."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from espnet_stacodec.evaluation.mutual_information import mutual_information
from espnet_stacodec.evaluation.report.system import System

# Lines of the training plots: title, and which logged values are drawn.
TRAINING = {
    "Reconstruction": ("mel_loss", "reconstruct_loss"),
    "Adversary": ("discriminator_loss", "adv_loss", "feat_match_loss"),
    "Tokens": ("token_loss", "token_accuracy"),
    "Scores while training": ("pesq", "stoi"),
}


def usage(codes: Sequence[np.ndarray], sizes: Sequence[int]) -> dict[str, list[float]]:
    """Return, by codebook, the share of entries that occur (%), and the perplexity of the codes.

    Args:
        codes: (n, T) of each utterance.
        sizes: Entries that each codebook can choose.
    """
    joined = np.concatenate([one[: len(sizes)] for one in codes], axis=1)
    shares, perplexities = [], []
    for book, size in zip(joined, sizes, strict=False):
        counts = np.bincount(book, minlength=size).astype(float)
        probabilities = counts[counts > 0] / counts.sum()
        shares.append(100 * float((counts > 0).sum()) / size)
        perplexities.append(float(np.exp(-(probabilities * np.log(probabilities)).sum())))
    return {"share": shares, "perplexity": perplexities}


def meaning(system: System, codes: Mapping[str, np.ndarray]) -> float | None:
    """Return the share (%) of the semantic tokens' information that the first codebook has.

    None where the system has no tokens on disk.
    """
    tokens = system.tokens
    if not codes or any(utt not in tokens for utt in codes):
        return None
    firsts, seconds = [], []
    for utt, code in codes.items():
        frames = min(code.shape[1], len(tokens[utt]))
        firsts.append(code[0, :frames])
        seconds.append(tokens[utt][:frames])
    shared, total = mutual_information(np.concatenate(firsts), np.concatenate(seconds))
    return 100 * shared / total if total else None


def training_curves(system: System) -> dict[str, dict[str, dict[float, float]]]:
    """Return, by title of a plot, lines by name: {epoch: value}, of what was logged."""
    found: dict[str, dict[str, dict[float, float]]] = {}
    for title, names in TRAINING.items():
        lines: dict[str, dict[float, float]] = {}
        for epoch, phases in sorted(system.epochs.items()):
            for phase in ("train", "valid"):
                for name in names:
                    value = phases.get(phase, {}).get(name)
                    if value is not None and math.isfinite(value):
                        lines.setdefault(f"{name} ({phase})", {})[epoch] = float(value)
        if any(len(line) > 1 for line in lines.values()):
            found[title] = lines
    return found


def training_seconds(system: System) -> float | None:
    """Return how long the epochs of the training took together; None where it is not known."""
    times = [
        phases[phase]["time"]["__timedelta_seconds__"]  # as ESPnet writes it
        for phases in system.epochs.values()
        for phase in ("train", "valid")
        if "time" in phases.get(phase, {})
    ]
    return sum(times) if times else None


def mean_score(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    """Return the mean of a score where it is defined; NaN if it is nowhere."""
    values = [row[key] for row in rows if row.get(key) is not None and math.isfinite(row[key])]
    return float(np.mean(values)) if values else math.nan

"""Versions of an utterance: its original, and what a codec makes of its first codebooks."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from espnet_stacodec.evaluation import metrics
from espnet_stacodec.evaluation.report.system import System
from espnet_stacodec.fileio.audio import read_audio
from espnet_stacodec.inference.audio_coding import load_once
from espnet_stacodec.parallel import Workers, one_thread


def shown_depths(n_codebooks: int) -> list[int]:
    """Return how many codebooks versions have: all, about half, and the first alone."""
    return sorted({n_codebooks, max(1, math.ceil(n_codebooks / 2)), 1}, reverse=True)


@dataclasses.dataclass(frozen=True)
class Job:
    """An utterance whose first codebooks are decoded.

    Attributes:
        model: The experiment.
        model_file: Its checkpoint; None for the best one.
        codes: (n, T).
        original: Its audio.
        depths: How many codebooks.
        scored: Whether scores are computed too.
    """

    model: Path
    model_file: str | None
    codes: np.ndarray
    original: Path
    depths: Sequence[int]
    scored: bool


@dataclasses.dataclass(frozen=True)
class Version:
    """What some codebooks give: samples (N,), and their scores where these were asked for."""

    wave: np.ndarray
    scores: dict[str, float]


@one_thread()
def _decode(job: Job) -> dict[int, Version]:
    codec = load_once(job.model, "cpu", job.model_file)
    original, rate = read_audio(str(job.original))
    made = {}
    for depth in job.depths:
        wave = codec.decode(job.codes[:depth], len(original)).float().numpy()
        scores: dict[str, float] = {}
        if job.scored and rate == metrics.SAMPLE_RATE:
            scores = {
                "PESQ-WB": metrics.pesq_wb(original, wave),
                "STOI": metrics.stoi_score(original, wave),
            }
        made[depth] = Version(wave.astype(np.float32), scores)
    return made


def decode(
    system: System, utts: Sequence[str], depths: Sequence[int], workers: Workers, scored: bool
) -> dict[str, dict[int, Version]]:
    """Decode the first codebooks of utterances, by utterance and number of codebooks."""
    jobs = [
        Job(
            system.folder,
            system.model_file,
            system.codes(utt),
            system.originals[utt],
            depths,
            scored,
        )
        for utt in utts
    ]
    results = workers.map(_decode, jobs, f"report on {system.name}")
    return dict(zip(utts, results, strict=True))

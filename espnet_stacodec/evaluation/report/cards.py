"""The utterances of the page: versions to listen to, their spectrograms, the token track."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from espnet_stacodec.evaluation.report import media, versions
from espnet_stacodec.evaluation.report.labels import written
from espnet_stacodec.evaluation.report.system import System
from espnet_stacodec.evaluation.results import metric_of
from espnet_stacodec.fileio.audio import read_audio
from espnet_stacodec.parallel import Workers

AUDIO_BYTES = 16_000_000
CHIPS = (
    "pesq_wb",
    "stoi",
    "si_sdr",
    "mel_distance",
    "f0_rmse_cents",
    "speaker_similarity",
)  # of an utterance, if there are


@dataclasses.dataclass(frozen=True)
class Track:
    """One version of an utterance on the page.

    Attributes:
        name: What it is.
        audio: As a data URI.
        image: Its spectrogram, as a data URI.
    """

    name: str
    audio: str
    image: str


@dataclasses.dataclass(frozen=True)
class Card:
    """An utterance on the page.

    Attributes:
        utt: Its name.
        reason: Why it is shown.
        text: Its transcript; "" where there is none.
        seconds: Its length.
        scores: By system, titles and values.
        tracks: The versions, the original first.
        tokens: Of the first codebook: id, and where the run of it begins and ends, in % of all.
        ticks: Whole seconds, for the axis of time.
    """

    utt: str
    reason: str
    text: str
    seconds: float
    scores: Mapping[str, Sequence[tuple[str, str]]]
    tracks: Sequence[Track]
    tokens: Sequence[tuple[int, float, float]]
    ticks: Sequence[int]


def make_cards(
    systems: Sequence[System], chosen: Mapping[str, str], workers: Workers
) -> dict[str, Any]:
    """Return the utterances that are shown, and what their audio is coded as."""
    utts = list(chosen)
    waves: dict[tuple[str, str], np.ndarray] = {}
    rate = systems[0].codec.sample_rate
    for utt in utts:
        waves[utt, "original"] = read_audio(str(systems[0].originals[utt]))[0]
    for system in systems:
        books = system.codec.n_codebooks
        depths = versions.shown_depths(books)
        if len(systems) > 1:
            depths = [books, 1]
        made = versions.decode(system, utts, depths, workers, scored=False)
        for utt in utts:
            for depth in depths:
                waves[utt, track_name(system, depth, books, len(systems) > 1)] = made[utt][
                    depth
                ].wave
    named = {"\n".join(key): wave for key, wave in waves.items()}
    audio, kind = media.embed_audio(named, rate, AUDIO_BYTES)
    cards = []
    for utt in utts:
        own = {name: wave for (of, name), wave in waves.items() if of == utt}
        decibels = {name: media.spectrogram(wave, rate) for name, wave in own.items()}
        loudest = float(decibels["original"].max())
        tracks = [
            Track(
                name,
                audio[f"{utt}\n{name}"],
                media.spectrogram_image(decibels[name], loudest),
            )
            for name in own
        ]
        seconds = len(own["original"]) / rate
        cards.append(
            Card(
                utt=utt,
                reason=chosen[utt],
                text=systems[0].texts.get(utt, ""),
                seconds=seconds,
                scores={system.name: chips(system.rows[utt]) for system in systems},
                tracks=tracks,
                tokens=runs(systems[0].codes(utt)[0]),
                ticks=list(range(0, int(seconds) + 1, max(1, round(seconds / 8)))),
            )
        )
    return {"cards": cards, "audio_kind": kind}


def track_name(system: System, depth: int, books: int, compared: bool) -> str:
    """Return how a version is called."""
    what = "all layers" if depth == books else "RVQ-1 alone" if depth == 1 else f"first {depth}"
    return f"{system.name}: {what}" if compared else what


def chips(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return titles and values of the scores that are shown with an utterance."""
    return [
        (metric_of(key).title, written(key, row[key])) for key in CHIPS if row.get(key) is not None
    ]


def runs(codes: np.ndarray) -> list[tuple[int, float, float]]:
    """Return the runs of equal codes (T,): the code, and where it begins and ends, in % of all."""
    borders = np.flatnonzero(np.diff(codes)) + 1
    edges = [0, *borders.tolist(), len(codes)]
    scale = 100 / len(codes)
    return [
        (int(codes[start]), start * scale, end * scale) for start, end in itertools.pairwise(edges)
    ]

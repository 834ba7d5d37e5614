"""How much the codes of speech change when it is noisy, quieter, faster or was coded before."""

import collections
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import editdistance
import numpy as np
from typeguard import typechecked

from espnet_stacodec.errors import naming
from espnet_stacodec.evaluation.distortions import Distortion
from espnet_stacodec.evaluation.intervals import Bootstrap, Estimate
from espnet_stacodec.evaluation.label_probe import deduplicate
from espnet_stacodec.fileio.audio import read_audio
from espnet_stacodec.inference.audio_coding import load_once
from espnet_stacodec.parallel import Workers, one_thread


@dataclasses.dataclass(frozen=True)
class Stability:
    """Of one codebook under one distortion.

    Attributes:
        unit_edit_distance: Edits (%) that turn the merged codes of the distorted copy into those of
            the clean speech, for each code of the clean one.
        changed: Share (%) of the frames whose code is another one; None where the distortion moves
            the frames.
    """

    unit_edit_distance: Estimate
    changed: Estimate | None


def unit_edit_distance(clean: np.ndarray, other: np.ndarray) -> tuple[int, int]:
    """Return edits between two streams (T,) with runs merged, and the length of the first.

    Worked example: 1 1 2 3 and 1 2 2 4 4 are 1 2 3 and 1 2 4: one edit of three.
    """
    one, two = deduplicate(clean).tolist(), deduplicate(other).tolist()
    return editdistance.eval(one, two), len(one)


@typechecked
def measure_stability(
    model: Path | str,
    audio: Mapping[str, str],
    distortions: Sequence[Distortion],
    workers: Workers,
    speakers: Mapping[str, str] | None = None,
    device: str = "cpu",
) -> dict[str, list[Stability]]:
    """Return the stability of each codebook under each distortion, by the distortion's name.

    Args:
        model: The codec; it makes its semantic tokens itself where it needs any, of the distorted
            speech as of the clean one.
        audio: Files of clean speech, by name.
        distortions: What is done to it; the voices of babble are other speakers', or of other
            files where speakers are not known.
        workers: Who computes.
        speakers: Of the files; None where they are not known.
        device: Where to compute.
    """
    known = {} if speakers is None else speakers
    spoken: dict[str, set[str]] = collections.defaultdict(set)
    for name, path in audio.items():
        spoken[known.get(name, name)].add(path)
    work = functools.partial(_measure, model, device, tuple(distortions))
    items = [(name, path, frozenset(spoken[known.get(name, name)])) for name, path in audio.items()]
    counted = list(workers.map(work, items, "distort and encode", names=list(audio)))
    drawn = None if speakers is None else [speakers.get(name, name) for name in audio]
    bootstrap = Bootstrap(len(audio), drawn)
    found = {}
    for index, distortion in enumerate(distortions):
        counts = np.array([one[index] for one in counted], dtype=float)  # (N, n, 4)
        found[distortion.name] = [
            Stability(
                bootstrap.ratio(100 * book[:, 0], book[:, 1]),
                bootstrap.ratio(100 * book[:, 2], book[:, 3]) if distortion.keeps_length else None,
            )
            for book in counts.transpose(1, 0, 2)
        ]
    return found


@one_thread()
def _measure(
    model: Path | str,
    device: str,
    distortions: tuple[Distortion, ...],
    item: tuple[str, str, frozenset[str]],
) -> np.ndarray:
    """Return (distortions, n, 4): edits, codes, changed frames and frames of each codebook."""
    name, path, own = item
    codec = load_once(model, device, None)
    with naming(name):
        wave, rate = read_audio(path)
        clean = codec.encode(wave, rate).numpy()
        rows = []
        for distortion in distortions:
            change = distortion.without_voices(own)
            other = codec.encode(change(wave, rate, name), rate).numpy()
            books = []
            for one, two in zip(clean, other, strict=True):
                frames = min(len(one), len(two))
                changed = int((one[:frames] != two[:frames]).sum())
                books.append([*unit_edit_distance(one, two), changed, frames])
            rows.append(books)
    return np.array(rows)

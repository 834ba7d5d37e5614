"""What codes say of labels of the same frames: tokens, phones."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from typeguard import typechecked

from espnet_stacodec.errors import DataError
from espnet_stacodec.evaluation.code_sets import CodeSet
from espnet_stacodec.frames import align_tokens

SHUFFLES = 5
SEED = 0
SILENCE = ""  # where an alignment has nothing


@dataclasses.dataclass(frozen=True)
class Information:
    """What the codes of one codebook say of labels.

    Attributes:
        bits: Mutual information (bits a frame), less what shuffled labels seem to have.
        share: Of the labels' entropy; HuBERT's phone-normalized mutual information (PNMI).
        purity: Share of the frames whose label is the commonest of their code.
        chance: Bits that shuffled labels seem to have, which small sets have much of.
    """

    bits: float
    share: float
    purity: float
    chance: float


@typechecked
def information(codes: CodeSet, labels: Mapping[str, np.ndarray]) -> list[Information]:
    """Return what each codebook says of frame labels.

    Args:
        codes: The codes.
        labels: (T,) integers for each utterance, one a frame; one more or less than the codes is
            brought to their length.

    Raises:
        DataError: If no utterance has both.
        LengthError: If the lengths differ by more than a frame.
    """
    names = [name for name in codes.codes if name in labels]
    if not names:
        raise DataError("No utterance has codes and labels; their names differ.")
    every = np.concatenate(
        [align_tokens(name, labels[name], codes.codes[name].shape[1]) for name in names]
    )
    every = np.unique(every, return_inverse=True)[1]
    generator = np.random.default_rng(SEED)
    shuffled = [generator.permutation(every) for _ in range(SHUFFLES)]
    entropy = _entropy(np.bincount(every))
    found = []
    for book in range(len(codes.sizes)):
        stream = np.concatenate([codes.codes[name][book] for name in names])
        stream = np.unique(stream, return_inverse=True)[1]
        seen, counts = _mutual(stream, every)
        chance = float(np.mean([_mutual(stream, labels)[0] for labels in shuffled]))
        best: dict[int, int] = {}
        for code, times in zip(*counts, strict=True):
            best[code] = max(best.get(code, 0), times)
        found.append(
            Information(
                bits=seen - chance,
                share=(seen - chance) / entropy if entropy else 0.0,
                purity=sum(best.values()) / len(every),
                chance=chance,
            )
        )
    return found


def mutual_information(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Return the mutual information of two sequences (N,) of ids and the entropy of `other`, bits.

    As counted, without a correction for few frames: compare systems on the same frames only.
    """
    ids = [np.unique(sequence, return_inverse=True)[1] for sequence in (one, other)]
    return _mutual(*ids)[0], _entropy(np.bincount(ids[1]))


def _mutual(one: np.ndarray, other: np.ndarray) -> tuple[float, tuple[list[int], list[int]]]:
    """Return the mutual information (bits), and for each pair that occurs `one` and its times."""
    width = int(other.max()) + 1
    pairs, times = np.unique(one * width + other, return_counts=True)
    entropies = [_entropy(np.bincount(one)), _entropy(np.bincount(other)), _entropy(times)]
    return entropies[0] + entropies[1] - entropies[2], ((pairs // width).tolist(), times.tolist())


def _entropy(counts: np.ndarray) -> float:
    """Return the entropy (bits) of counts."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


@typechecked
def read_alignment(path: Path, codes: CodeSet) -> dict[str, np.ndarray]:
    """Return the label (T,) of each frame from a CTM file: `<name> <channel> <start> <s> <label>`.

    A frame has the label at its middle; where there is none, one of its own.

    Raises:
        DataError: If the file is missing or malformed.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{path}: the alignment cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: the alignment is no UTF-8 text ({error}).") from error
    numbers = {SILENCE: 0}
    found: dict[str, np.ndarray] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        try:
            name, _, label = words[0], words[1], words[4]
            start, end = float(words[2]), float(words[2]) + float(words[3])
            if not (math.isfinite(start) and math.isfinite(end)):
                raise ValueError
        except (IndexError, ValueError) as error:
            raise DataError(
                f"{path}:{number}: '{line}' is not `<name> <channel> <start> <seconds> <label>`."
            ) from error
        if name not in codes.codes:
            continue
        frames = codes.codes[name].shape[1]
        labels = found.setdefault(name, np.zeros(frames, dtype=np.int64))
        first, last = (
            # Rounded, so that a border at the middle of a frame is not one by chance.
            int(np.ceil(round(time * codes.frame_rate_hz - 0.5, 6)).clip(0, frames))
            for time in (start, end)
        )
        labels[first:last] = numbers.setdefault(label, len(numbers))
    return found

"""How codebooks are used, and what their codes cost: usage, perplexity, entropy, bitrate."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from typeguard import typechecked

from espnet_stacodec.evaluation.code_sets import CodeSet


@dataclasses.dataclass(frozen=True)
class BookStatistics:
    """One codebook.

    Attributes:
        entries: How many it has.
        used: How many of them some frame uses.
        dead: How many none does.
        perplexity: 2 to the entropy of its codes: as many equally frequent entries are as uneven.
        entropy_0: Bits a code that an entropy coder spends that knows how frequent each is.
        entropy_1: Bits a code if it knows the code before, too.
    """

    entries: int
    used: int
    dead: int
    perplexity: float
    entropy_0: float
    entropy_1: float


@typechecked
def describe_books(codes: CodeSet) -> list[BookStatistics]:
    """Return the statistics of each codebook.

    Entropies are what coding really costs: the frequencies are those of the other half of the
    utterances, or of the only one. Those of the same frames would flatter: of few utterances nearly
    every pair of codes is seen once, and looks as if it could be predicted.
    """
    found = []
    for book, size in enumerate(codes.sizes):
        streams = list(codes.stream(book).values())
        counts = np.bincount(np.concatenate(streams), minlength=size)
        shares = counts[counts > 0] / counts.sum()
        used = int((counts > 0).sum())
        found.append(
            BookStatistics(
                entries=size,
                used=used,
                dead=size - used,
                perplexity=float(2 ** -(shares * np.log2(shares)).sum()),
                entropy_0=_cross_entropy(streams, size, 0),
                entropy_1=_cross_entropy(streams, size, 1),
            )
        )
    return found


@typechecked
def bitrates(codes: CodeSet, books: Sequence[BookStatistics]) -> dict[str, float]:
    """Return kbit/s: nominal, and with an entropy coder of order 0 and 1 for each codebook."""
    rate = codes.frame_rate_hz / 1000
    return {
        "nominal": rate * sum(math.log2(size) for size in codes.sizes),
        "order_0": rate * sum(book.entropy_0 for book in books),
        "order_1": rate * sum(book.entropy_1 for book in books),
    }


def _cross_entropy(streams: Sequence[np.ndarray], size: int, order: int) -> float:
    """Return bits a code, each half of the utterances coded with the frequencies of the other.

    The halves of a single utterance are its beginning and its end.
    """
    if len(streams) == 1:
        streams = np.array_split(streams[0], 2)
    halves = [streams[::2], streams[1::2]]
    bits = total = 0.0
    for known, coded in (halves, halves[::-1]):
        model = _Frequencies(known, size)
        for stream in coded:
            bits += model.bits(stream, order)
            total += len(stream)
    return bits / total


class _Frequencies:
    """Frequencies of codes, and of pairs, smoothed as Krichevsky and Trofimov, Witten and Bell do.

    Args:
        streams: Codes (T,) of utterances.
        size: Entries of the codebook.
    """

    def __init__(self, streams: Iterable[np.ndarray], size: int) -> None:
        streams = list(streams)
        counts = np.bincount(np.concatenate(streams), minlength=size) + 0.5
        self._single = counts / counts.sum()
        pairs = np.concatenate([stream[:-1] * size + stream[1:] for stream in streams])
        keys, times = np.unique(pairs, return_counts=True)
        self._pairs: Mapping[int, int] = dict(zip(keys.tolist(), times.tolist(), strict=True))
        self._size = size
        before = keys // size
        self._followers = np.bincount(before, minlength=size)
        self._times = np.bincount(before, weights=times, minlength=size)

    def bits(self, stream: np.ndarray, order: int) -> float:
        """Return the bits that codes (T,) cost."""
        share = self._single[stream]
        if order == 1 and len(stream) > 1:
            before = stream[:-1]
            pairs = (before * self._size + stream[1:]).tolist()
            times = np.array([self._pairs.get(pair, 0) for pair in pairs], dtype=float)
            followers = np.maximum(self._followers[before], 1)
            share = share.copy()
            share[1:] = (times + followers * share[1:]) / (self._times[before] + followers)
        return float(-np.log2(share).sum())

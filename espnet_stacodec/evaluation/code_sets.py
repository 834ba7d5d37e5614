"""Codes or tokens of many utterances, from any of the files that hold them."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from typeguard import typechecked

from espnet_stacodec.errors import DataError, naming
from espnet_stacodec.fileio.arks import read_ark
from espnet_stacodec.fileio.code_files import Codes, check_codes
from espnet_stacodec.fileio.file_pairs import pair_files
from espnet_stacodec.fileio.files import read_scp

TOKEN_RATE_HZ = 50.0  # of tokens in lists, which do not say it
MOST_ENTRIES = 2**20  # of a codebook: what is counted for each of them fits into memory


@dataclasses.dataclass(frozen=True)
class CodeSet:
    """Codes by utterance.

    Attributes:
        codes: (n, T) of each utterance.
        sizes: Entries of each of the n codebooks.
        frame_rate_hz: Frames per second.
    """

    codes: Mapping[str, np.ndarray]
    sizes: Sequence[int]
    frame_rate_hz: float

    def stream(self, book: int) -> dict[str, np.ndarray]:
        """Return the codes (T,) of one codebook, counted from 0, by utterance."""
        return {name: codes[book] for name, codes in self.codes.items()}

    def select(self, names: Sequence[str]) -> "CodeSet":
        """Return the set cut down to some of its utterances."""
        return dataclasses.replace(self, codes={name: self.codes[name] for name in names})


@typechecked
def read_code_set(places: Sequence[Path]) -> CodeSet:
    """Read codes or tokens of several places; see `read_place` and `join`."""
    return join([read_place(place) for place in places])


@typechecked
def join(
    sets: Sequence[CodeSet],
    sizes: Sequence[int] | None = None,
    frame_rate_hz: float | None = None,
) -> CodeSet:
    """Return the utterances of several sets together.

    Args:
        sets: Codes of the same codebooks.
        sizes: Entries of each codebook; None for the largest of the sets.
        frame_rate_hz: Frames per second; None for that of the set with the longest frames.

    Raises:
        DataError: If an utterance is there twice, or the sets have different codebooks.
    """
    codes: dict[str, np.ndarray] = {}
    for one in sets:
        if twice := sorted(set(one.codes) & set(codes)):
            raise DataError(f"{twice[0]} is in two of these sets.")
        codes |= one.codes
    books = {len(one) for one in codes.values()}
    if len(books) != 1:
        raise DataError(f"Codes of {sorted(books)} codebooks are not of one codec.")
    count, largest = books.pop(), 1 + max(int(one.max()) for one in codes.values())
    known = [max(book) for book in zip(*(one.sizes for one in sets), strict=True)]
    if sizes is not None:
        known = list(sizes)
    if len(known) != count or largest > max(known):
        raise DataError(
            f"{count} codebooks with codes up to {largest - 1} are not of codebooks of {known}"
            " entries."
        )
    return CodeSet(codes, known, frame_rate_hz or min(one.frame_rate_hz for one in sets))


@typechecked
def read_place(place: Path) -> CodeSet:
    """Read codes or tokens.

    Args:
        place: A folder of .npz files (of `stacodec encode`, named by their paths below it), one
            such file, a list codes.scp of them or semantic.scp of arks, or a text of
            `<name> <token> ...`.

    Returns:
        The set. Files do not say how long a frame is: that of .npz files is found from the lengths
        of the audio, and others have 50 frames per second. The codebooks are taken to end with the
        largest code of any of them: entries that no utterance uses are not known.

    Raises:
        DataError: If there is nothing, or a file is malformed.
        TokenError: If what it holds are no codes: negative, or of more than a million entries.
    """
    codes, rate = _read(place)
    largest = 1 + max(int(one.max()) for one in codes.values())
    return CodeSet(codes, [largest] * len(next(iter(codes.values()))), rate)


def _read(place: Path) -> tuple[dict[str, np.ndarray], float]:
    """Return codes (n, T) by utterance, and frames per second."""
    if place.is_dir():
        pairs = pair_files([place], Path(), (".npz",), "")
        if pairs.failures:
            raise DataError(next(iter(pairs.failures.values())))
        return _read_files({out.as_posix(): str(path) for path, out in pairs.outputs.items()})
    if place.suffix == ".npz":
        return _read_files({place.stem: str(place)})
    entries = read_scp(place)
    first = next(iter(entries.values()))
    if first.endswith(".npz"):
        return _read_files(entries)
    if place.suffix == ".scp":
        return {name: _load(name, value) for name, value in entries.items()}, TOKEN_RATE_HZ
    return {name: _parse(name, value) for name, value in entries.items()}, TOKEN_RATE_HZ


def _read_files(paths: Mapping[str, str]) -> tuple[dict[str, np.ndarray], float]:
    loaded = {name: Codes.load(path) for name, path in sorted(paths.items())}
    checked = {name: _checked(name, codes.codes) for name, codes in loaded.items()}
    # T frames span more than T - 1 and at most T hops: the most samples a frame are nearly a hop.
    hop = max(math.ceil(codes.num_samples / codes.codes.shape[1]) for codes in loaded.values())
    rate = next(iter(loaded.values())).sample_rate / hop
    return checked, rate


def _checked(name: str, codes: np.ndarray) -> np.ndarray:
    with naming(name):
        return check_codes(codes, [MOST_ENTRIES] * max(1, len(codes)))


def _load(name: str, place: str) -> np.ndarray:
    with naming(name):
        tokens = read_ark(place, "the tokens", "make them again")
    return _checked(name, tokens[None])


def _parse(name: str, value: str) -> np.ndarray:
    with naming(name):
        try:
            tokens = np.array([int(word) for word in value.split()], dtype=np.int64)
        except (OverflowError, ValueError) as error:
            raise DataError(f"'{value[:40]}' are not token numbers.") from error
    return _checked(name, tokens[None])

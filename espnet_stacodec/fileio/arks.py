"""Vectors or matrices of many utterances, in parts: <name>.scp and <name>.<N>.ark.

The file of a part (see `parts`) lists where its utterances begin in its ark. The scp file comes
last.
"""

import functools
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np

from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.files import atomic_write, read_scp, write_scp
from espnet_stacodec.fileio.parts import Part, Parts, cut
from espnet_stacodec.fileio.provenance import Provenance
from espnet_stacodec.fileio.temporaries import exclusive

# What kaldiio raises of files that are gone, cut off, or no arks: it asserts what it expects.
UNREADABLE = (OSError, ValueError, AssertionError, RuntimeError, EOFError, struct.error)


def read_ark(place: str, what: str, cure: str) -> np.ndarray:
    """Return the vector or matrix at a place `<ark>:<offset>`.

    Args:
        place: Where it begins.
        what: Its name in the sentence of an error, e.g. "the codes".
        cure: What to do then, e.g. "extract them again (stage 3)".

    Raises:
        DataError: If it cannot be read.
    """
    try:
        return np.asarray(kaldiio.load_mat(place))
    except UNREADABLE as error:
        # Of other errors, the messages are kaldiio's own matter, or none.
        gone = isinstance(error, OSError) and error.strerror
        reason = gone or "the file is cut off, or no ark"
        raise DataError(f"{what} cannot be read from {place} ({reason}); {cure}.") from error


def write_arks(
    scp: Path,
    utterances: Mapping[str, Any],
    made_with: Any,
    compute: Callable[[Sequence[str]], Iterable[np.ndarray]],
    dtype: type = np.int32,
    provenance: Provenance | None = None,
) -> None:
    """Write a vector for each utterance, going on from whole parts of the same utterances.

    Args:
        scp: The list to write; as given, its folder becomes part of the paths in it.
        utterances: By id, sorted: what the vector depends on, as JSON can say it.
        made_with: Identifies what computes the vectors, e.g. a fingerprint.
        compute: Yields the vectors (n,) or matrices of the utterances it is given, in their order.
        dtype: What their numbers are written as.
        provenance: What is written of them beside the list.
    """
    parts = Parts(scp, cut(utterances), made_with, "offsets")
    arks = {part.number: _ark(scp, part) for part in parts}
    with exclusive(scp.parent):
        for part in parts:
            if not _is_whole(arks[part.number], part):
                part.path.unlink(missing_ok=True)
        surplus = set(scp.parent.glob(f"{scp.stem}.*.ark")) - set(arks.values())
        if surplus:
            scp.unlink(missing_ok=True)
        parts.complete(compute, functools.partial(_save, scp, dtype))
        for path in surplus:
            path.unlink()
        places = {
            utt_id: f"{arks[part.number]}:{offset}"
            for part in parts
            for utt_id, offset in read_scp(part.path).items()
        }
        if provenance is not None:
            provenance.write_before(scp)
        write_scp(scp, places)


def _ark(scp: Path, part: Part) -> Path:
    return scp.with_name(f"{scp.stem}.{part.number}.ark")


def _is_whole(ark: Path, part: Part) -> bool:
    """Whether the ark of a part, if it has been made, is there up to its last vector."""
    if not ark.exists() or not part.path.exists():
        return False
    *_, last = read_scp(part.path).values()
    try:
        kaldiio.load_mat(f"{ark}:{last}")
    except UNREADABLE:
        return False
    return True


def _save(scp: Path, dtype: type, part: Part, vectors: Sequence[np.ndarray]) -> None:
    """Write the ark of a part, then its list of offsets."""
    offsets = {}
    with atomic_write(_ark(scp, part)) as temporary, temporary.open("wb") as file:
        for utt_id, vector in zip(part.ids, vectors, strict=True):
            offsets[utt_id] = file.tell() + len(f"{utt_id} ".encode())
            kaldiio.save_ark(file, {utt_id: vector.astype(dtype)})
    write_scp(part.path, offsets)

"""Vectors or matrices of many utterances, written shard by shard: <name>.scp and <name>.<N>.ark.

An interrupted run goes on after its last whole shard. A shard is whole when its hidden list of
offsets, `.<name>.<N>.<key>.offsets`, exists; the key stands for its utterances and what they were
computed with. The scp file comes last.
"""

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np

from espnet_stacodec.fileio.files import atomic_write, content_key, read_scp, write_scp

SHARD_UTTERANCES = 100  # what a kill can cost; a slow SSL model takes a second for each


class _Shard:
    """Successive utterances whose vectors share one ark."""

    def __init__(
        self, scp: Path, number: int, key: str, utt_ids: Sequence[str], dtype: type
    ) -> None:
        self.utt_ids = utt_ids
        self.dtype = dtype
        self.ark = scp.with_name(f"{scp.stem}.{number}.ark")
        self._marks = f".{scp.stem}.{number}.*.offsets"
        self._offsets = scp.with_name(f".{scp.stem}.{number}.{key}.offsets")

    @property
    def is_whole(self) -> bool:
        return self._offsets.exists() and self.ark.exists()

    def write(self, vectors: Iterable[np.ndarray]) -> None:
        # Another key's mark must not vouch for the ark that comes now.
        for mark in self.ark.parent.glob(self._marks):
            mark.unlink()
        offsets = {}
        with atomic_write(self.ark) as temporary, temporary.open("wb") as file:
            for utt_id, vector in zip(self.utt_ids, vectors, strict=True):
                offsets[utt_id] = file.tell() + len(f"{utt_id} ".encode())
                kaldiio.save_ark(file, {utt_id: vector.astype(self.dtype)})
        write_scp(self._offsets, offsets)

    def places(self) -> dict[str, str]:
        return {utt: f"{self.ark}:{offset}" for utt, offset in read_scp(self._offsets).items()}


def write_arks(
    scp: Path,
    utterances: Mapping[str, Any],
    made_with: str,
    compute: Callable[[Sequence[str]], Iterable[np.ndarray]],
    dtype: type = np.int32,
) -> None:
    """Write a vector for each utterance, going on from whole shards of the same utterances.

    Args:
        scp: The list to write; as given, its folder becomes part of the paths in it.
        utterances: By id, sorted: what the vector depends on, as JSON can say it.
        made_with: Identifies what computes the vectors, e.g. a fingerprint.
        compute: Yields the vectors (n,) or matrices of the utterances it is given, in their order.
        dtype: What their numbers are written as.
    """
    scp.parent.mkdir(parents=True, exist_ok=True)
    parts = list(itertools.batched(utterances.items(), SHARD_UTTERANCES))
    shards = [
        _Shard(scp, number, content_key([made_with, part]), [utt_id for utt_id, _ in part], dtype)
        for number, part in enumerate(parts, 1)
    ]
    missing = [shard for shard in shards if not shard.is_whole]
    if missing:
        scp.unlink(missing_ok=True)
        wanted = [utt_id for shard in missing for utt_id in shard.utt_ids]
        logging.info("%s: %d of %d utterances to do", scp, len(wanted), len(utterances))
        vectors = in_parts(compute(wanted), [len(shard.utt_ids) for shard in missing])
        for shard, part in zip(missing, vectors, strict=True):
            shard.write(part)
    _remove_surplus(scp, len(shards))
    places = {utt: place for shard in shards for utt, place in shard.places().items()}
    if scp.exists() and read_scp(scp) == places:
        logging.info("%s: complete, nothing to do", scp)
        return
    write_scp(scp, places)


def in_parts[Result](results: Iterable[Result], sizes: Iterable[int]) -> Iterator[list[Result]]:
    """Cut results into lists of the given sizes, and run their iterator to its end."""
    remaining = iter(results)
    for size in sizes:
        yield list(itertools.islice(remaining, size))
    # Progress bars and processes end with the iterator.
    next(remaining, None)


def _remove_surplus(scp: Path, num_shards: int) -> None:
    """Remove what a killed run, or an earlier, longer list of utterances, left behind."""
    for path in scp.parent.glob(".*.tmp.*"):
        path.unlink()
    marks = scp.parent.glob(f".{scp.stem}.*.offsets")
    for path in (*scp.parent.glob(f"{scp.stem}.*.ark"), *marks):
        if int(path.name.removeprefix(".").split(".")[1]) > num_shards:
            path.unlink()

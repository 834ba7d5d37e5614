"""The tokens of a set's utterances: one by one, or on a GPU those of similar length together."""

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from espnet_stacodec.parallel import Workers, one_thread
from espnet_stacodec.semantic.token_files import Utterance, read_wave
from espnet_stacodec.semantic.tokenizer import SemanticTokenizer
from espnet_stacodec.semantic.tokenizer_info import TOKEN_FRAMES

BATCHING_DEVICES = ("cuda",)
BUCKET_SECONDS = 120  # of audio, its padding included, that a GPU computes at once
SORTED_UTTERANCES = 1000  # by length, together: a kill costs as many at most


@functools.lru_cache(maxsize=1)
def _tokenizer(folder: Path, device: str, centroids: str) -> SemanticTokenizer:
    # The centroids' fingerprint is part of the cache's key: a folder may be filled anew.
    return SemanticTokenizer.load(folder, device)


@one_thread()
def _tokens_of(folder: Path, device: str, centroids: str, utterance: Utterance) -> np.ndarray:
    """Return the tokens (T,) of an utterance."""
    tokenizer = _tokenizer(folder, device, centroids)
    wave = torch.from_numpy(read_wave(utterance))
    return tokenizer(wave, utterance.utt_id).cpu().numpy()


@one_thread()
def _tokens_together(
    folder: Path, device: str, centroids: str, bucket: Sequence[Utterance]
) -> list[np.ndarray]:
    """Return the tokens (T,) of each of several utterances of similar length."""
    tokenizer = _tokenizer(folder, device, centroids)
    waves = [torch.from_numpy(read_wave(utterance)) for utterance in bucket]
    ids = [utterance.utt_id for utterance in bucket]
    return [tokens.cpu().numpy() for tokens in tokenizer.together(waves, ids)]


def length_buckets(lengths: Sequence[int], limit: int) -> list[list[int]]:
    """Return the indices of lengths, the longest first, in buckets that are padded to the longest.

    A bucket's padded length, its number times its longest, is at most `limit`, or it has one item.
    Worked example: lengths 3, 9, 4, 8 with a limit of 18 give [1, 3], [2, 0].
    """
    buckets: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not buckets or (len(buckets[-1]) + 1) * lengths[buckets[-1][0]] > limit:
            buckets.append([])
        buckets[-1].append(index)
    return buckets


def tokenize_set(
    workers: Workers,
    key: tuple[Path, str, str],
    description: str,
    utterances: Sequence[Utterance],
) -> Iterable[np.ndarray]:
    """Return the tokens of each utterance; on a GPU those of similar length are made together."""
    ids = [utterance.utt_id for utterance in utterances]
    if not workers.device.startswith(BATCHING_DEVICES):
        work = functools.partial(_tokens_of, *key)
        return workers.map(work, utterances, description, names=ids)
    groups = [
        (group, _buckets(group)) for group in itertools.batched(utterances, SORTED_UTTERANCES)
    ]
    jobs = [bucket for _, buckets in groups for bucket in buckets]
    together = functools.partial(_tokens_together, *key)
    names = [", ".join(utterance.utt_id for utterance in bucket) for bucket in jobs]
    made = workers.map(together, jobs, description, unit="batches", names=names)
    return _in_order(groups, made)


def _buckets(utterances: Sequence[Utterance]) -> list[list[Utterance]]:
    """Return utterances of similar length together, as a GPU takes them."""
    lengths = [utterance.num_samples for utterance in utterances]
    buckets = length_buckets(lengths, BUCKET_SECONDS * TOKEN_FRAMES.sample_rate)
    return [[utterances[index] for index in bucket] for bucket in buckets]


def _in_order(
    groups: Sequence[tuple[Sequence[Utterance], Sequence[Sequence[Utterance]]]],
    made: Iterator[Sequence[np.ndarray]],
) -> Iterator[np.ndarray]:
    """Yield the tokens of each utterance of groups, as soon as those of its group are made.

    Args:
        groups: Utterances, and the buckets that they are sorted into.
        made: The tokens of each bucket.
    """
    for group, buckets in groups:
        ids = [utterance.utt_id for bucket in buckets for utterance in bucket]
        found = itertools.chain.from_iterable(itertools.islice(made, len(buckets)))
        tokens = dict(zip(ids, found, strict=True))
        yield from (tokens[utterance.utt_id] for utterance in group)
    next(made, None)  # progress bars and processes end with the iterator

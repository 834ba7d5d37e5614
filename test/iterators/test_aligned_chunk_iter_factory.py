"""Audio and tokens that say their frame number, through cutting, shuffling and collation."""

import inspect
import itertools
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
from espnet2.iterators.chunk_iter_factory import ChunkIterFactory
from espnet2.train.collate_fn import CommonCollateFn

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.frames import FrameRule
from espnet_stacodec.iterators.aligned_chunk_iter_factory import (
    AlignedChunkIterFactory,
    chunk_starts,
    expected_chunks,
    parse_chunk_lengths,
)

HOP, WIDTH = 4, 5
# Samples of each utterance: exactly a chunk, shorter, longer, with and without a partial frame.
LENGTHS = {
    "chunk": WIDTH * HOP,
    "short": 2 * HOP,
    "odd": 3 * HOP - 1,
    "long": 23 * HOP,
    "partial": 11 * HOP - 3,
    "sample": WIDTH * HOP + 1,
    "one": 1,
}
FRAMES = {utt: -(-length // HOP) for utt, length in LENGTHS.items()}
# Frame t of utterance u is OFFSET * (u + 1) + t, in audio and in tokens.
OFFSET = 1000


class Dataset:
    """Utterances as ESPnet's datasets give them."""

    def __getitem__(self, utt_id: str) -> tuple[str, dict[str, np.ndarray]]:
        first = OFFSET * (1 + list(LENGTHS).index(utt_id))
        audio = first + np.arange(LENGTHS[utt_id]) // HOP
        tokens = first + np.arange(FRAMES[utt_id])
        return utt_id, {"audio": audio.astype(np.float32), "semantic": tokens.astype(np.int32)}


def build(
    chunk_length: int | str = WIDTH * HOP, num_batches: int | None = None, **changes
) -> AlignedChunkIterFactory:
    options = {
        "dataset": Dataset(),
        "batches": [[utt] for utt in LENGTHS],
        "batch_size": 3,
        "chunk_shift_ratio": 1.0,
        "num_cache_chunks": 4,
        "shuffle": True,
        "seed": 7,
        "discard_short_samples": False,
        "collate_fn": CommonCollateFn(float_pad_value=0.0, int_pad_value=-1),
    }
    chunks = ChunkIterFactory(chunk_length=chunk_length, **options | changes)
    return AlignedChunkIterFactory(chunks, FrameRule(HOP, 16000), num_batches=num_batches)


def items(batches) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    """Return (utterance, audio, tokens) of each item, cut to the lengths that are told."""
    found = []
    for ids, batch in batches:
        assert len(ids) == len(batch["audio"]) == len(batch["semantic"])
        for row, utt_id in enumerate(ids):
            audio, tokens = batch["audio"][row], batch["semantic"][row]
            if "audio_lengths" in batch:
                audio, rest = audio.split([n := int(batch["audio_lengths"][row]), len(audio) - n])
                assert (rest == 0).all()
                tokens, rest = tokens.split(
                    [n := int(batch["semantic_lengths"][row]), len(tokens) - n]
                )
                assert (rest == -1).all()
            found.append((utt_id, audio, tokens))
    return found


def test_an_epoch_can_be_a_number_of_utterances():
    """`num_iters_per_epoch` of the options: what is left over comes in the next epochs."""
    factory = build(num_samples_per_epoch=3)
    seen = [{utt for utt, *_ in items(factory.build_iter(epoch))} for epoch in range(1, 15)]
    assert all(0 < len(utts) <= 3 for utts in seen)
    assert set().union(*seen) == set(LENGTHS)
    longer = build(num_samples_per_epoch=10)
    assert len({utt for utt, *_ in items(longer.build_iter(1))}) == len(LENGTHS)


def epochs(factory: AlignedChunkIterFactory, count: int = 40):
    return [item for epoch in range(1, count + 1) for item in items(factory.build_iter(epoch))]


@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("length", [WIDTH * HOP, "12,20", 3 * HOP])
def test_audio_and_tokens_stay_together(length, ratio):
    for utt_id, audio, tokens in epochs(build(length, chunk_shift_ratio=ratio), 10):
        first = OFFSET * (1 + list(LENGTHS).index(utt_id))
        start = int(tokens[0]) - first
        assert tokens.tolist() == list(range(first + start, first + start + len(tokens)))
        assert start + len(tokens) <= FRAMES[utt_id]
        assert -(-len(audio) // HOP) == len(tokens)
        for frame, token in enumerate(tokens.tolist()):
            samples = audio[frame * HOP : (frame + 1) * HOP].tolist()
            # Past the end of the utterance the last frame is filled with zeros.
            valid = min(HOP, LENGTHS[utt_id] - (start + frame) * HOP)
            assert samples[:valid] == [token] * valid
            assert not any(samples[valid:])


def test_every_frame_is_covered_in_every_epoch():
    factory = build()
    for epoch in range(1, 30):
        seen: dict[str, set[int]] = defaultdict(set)
        for utt_id, _, tokens in items(factory.build_iter(epoch)):
            seen[utt_id] |= set((tokens % OFFSET).tolist())
        assert seen == {utt: set(range(frames)) for utt, frames in FRAMES.items()}


def test_any_start_frame_occurs():
    starts: dict[str, set[int]] = defaultdict(set)
    for utt_id, _, tokens in epochs(build()):
        starts[utt_id].add(int(tokens[0]) % OFFSET)
    for utt_id, frames in FRAMES.items():
        assert starts[utt_id] == set(range(max(1, frames - WIDTH + 1)))


def test_short_utterances_and_those_as_long_as_a_chunk_are_used_whole():
    used = Counter((utt, len(audio)) for utt, audio, _ in items(build().build_iter(1)))
    for utt_id in ("chunk", "short", "odd", "one"):
        assert used[utt_id, LENGTHS[utt_id]] == 1
    # One sample more than a chunk is a frame more: two chunks, none of them short.
    assert used["sample", WIDTH * HOP] == 2


def test_lengths_are_told_only_where_items_differ():
    told = set()
    for _, batch in build().build_iter(1):
        names = {"audio_lengths", "semantic_lengths"}
        differ = (batch["semantic"] == -1).any() or "audio_lengths" in batch
        assert (names <= set(batch)) == bool(differ)
        assert names & set(batch) in (set(), names)
        told.add("audio_lengths" in batch)
    assert told == {True, False}
    equal = build(batches=[["long"]], shuffle=False, batch_size=2)
    assert all(set(batch) == {"audio", "semantic"} for _, batch in equal.build_iter(1))


def test_full_batches_and_a_last_one_that_need_not_be_full():
    ids, sizes = [], []
    for names, _ in build().build_iter(3):
        ids += names
        sizes.append(len(names))
    assert sizes[:-1] == [3] * (len(sizes) - 1) and 1 <= sizes[-1] <= 3
    assert len(ids) % 3 != 0  # this epoch tests what it says
    alone = list(build(batches=[["chunk"]]).build_iter(1))
    assert [names for names, _ in alone] == [["chunk"]]


def signature(factory: AlignedChunkIterFactory, epoch: int) -> list:
    return [(utt_id, tokens.tolist()) for utt_id, _, tokens in items(factory.build_iter(epoch))]


def test_the_order_depends_on_epoch_and_seed_alone():
    assert signature(build(), 1) == signature(build(), 1)
    assert signature(build(), 1) != signature(build(), 2)
    assert signature(build(), 1) != signature(build(seed=8), 1)
    assert signature(build(num_workers=1), 2) == signature(build(), 2)


def test_without_shuffling_chunks_come_in_order():
    expected = [
        (utt, start)
        for utt, frames in FRAMES.items()
        for start in (chunk_starts(frames, WIDTH, WIDTH, 0) if frames > WIDTH else [0])
    ]
    for factory, shuffle in ((build(shuffle=False), None), (build(), False)):
        found = items(factory.build_iter(5, shuffle))
        assert [(utt, int(tokens[0]) % OFFSET) for utt, _, tokens in found] == expected


def test_shuffling_mixes_utterances():
    ids = [utt for utt, _, _ in items(build(num_cache_chunks=100).build_iter(1))]
    assert sum(a == b for a, b in itertools.pairwise(ids)) < len(ids) - len(LENGTHS)


@pytest.mark.parametrize(
    ("length", "nearest"), [(18, 16), ("20,22", 24), (1, 4), ("12-16", 12), (0, 4)]
)
def test_chunks_must_be_whole_frames(length, nearest):
    with pytest.raises(ConfigError, match=f"hop of 4 samples; the nearest one is {nearest}"):
        build(length)


def test_chunk_starts_worked_by_hand():
    assert chunk_starts(10, 4, 4, 3) == [0, 3, 6]
    assert chunk_starts(10, 4, 4, 0) == [0, 4, 6]
    assert chunk_starts(4, 4, 4, 2) == [0]
    assert chunk_starts(8, 4, 4, 0) == [0, 4]
    assert chunk_starts(6, 4, 2, 1) == [0, 1, 2]


def test_chunk_starts_cover_everything_whatever_the_sizes():
    for frames in range(1, 18):
        for width in range(1, frames + 1):
            for shift in range(1, width + 1):
                for offset in range(shift):
                    starts = chunk_starts(frames, width, shift, offset)
                    assert starts[0] == 0 and starts[-1] == frames - width
                    assert all(0 < b - a <= shift for a, b in itertools.pairwise(starts))


@pytest.mark.parametrize("num_batches", [1, 3, 20])
def test_an_epoch_of_a_given_number_of_batches(num_batches):
    """More than its utterances give, or fewer: they begin as the epoch without a number does."""
    epoch = [(ids, batch) for ids, batch in build(num_batches=num_batches).build_iter(2)]
    assert len(epoch) == num_batches
    as_long_as_it_is = [ids for ids, _ in build().build_iter(2)]
    common = min(num_batches, len(as_long_as_it_is))
    assert [ids for ids, _ in epoch[:common]] == as_long_as_it_is[:common]
    again = [ids for ids, _ in build(num_batches=num_batches).build_iter(2)]
    assert again == [ids for ids, _ in epoch]


def test_expected_chunks_are_the_mean_over_all_offsets():
    assert expected_chunks(10, [4], 1.0) == 3.25  # worked by hand in the docstring
    assert expected_chunks(3, [4, 5], 1.0) == 1.0
    assert expected_chunks(10, [4, 10, 12], 1.0) == (3.25 + 1) / 2
    for frames, width, ratio in (
        (23, 5, 1.0),
        (23, 5, 0.5),
        (6, 5, 1.0),
        (40, 7, 0.3),
        (9, 4, 2.0),
    ):
        shift = max(1, int(width * ratio))
        counts = [len(chunk_starts(frames, width, shift, offset)) for offset in range(shift)]
        assert expected_chunks(frames, [width], ratio) == pytest.approx(np.mean(counts))


def test_chunk_lengths_as_espnet_writes_them():
    assert parse_chunk_lengths("3200,6400") == [3200, 6400]
    assert parse_chunk_lengths("5-8") == [5, 6, 7, 8]
    assert parse_chunk_lengths(16) == [16]
    for wrong in ("", "5-6-7", "3 s", "5,", "8-5", "-5"):
        with pytest.raises(ConfigError, match=f"chunk_length '{wrong}' is not a number"):
            parse_chunk_lengths(wrong)


def test_espnet_still_makes_mini_batches_as_is_relied_on():
    """`_generate_mini_batches` is private to ESPnet: a release may rename or change it."""
    method = getattr(ChunkIterFactory, "_generate_mini_batches", None)
    assert method is not None, (
        "ESPnet's ChunkIterFactory has no _generate_mini_batches any more: batch the chunks in"
        " AlignedChunkIterFactory itself, and move the upper bound of espnet in setup.py."
    )
    names = list(inspect.signature(method).parameters)
    assert names == ["self", "id_list", "batches", "shuffle", "state"], (
        f"ESPnet's _generate_mini_batches now takes {names}: change AlignedChunkIterFactory."
    )

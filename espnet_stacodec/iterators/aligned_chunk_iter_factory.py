"""Chunks of audio and semantic tokens that are cut together, on frame borders."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from espnet2.iterators.chunk_iter_factory import ChunkIterFactory

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.frames import FrameRule


class AlignedChunkIterFactory(AbsIterFactory):
    """ESPnet's chunk iterator for streams of different rates.

    A chunk starts at any frame, and the last one of an utterance ends with it: nothing is lost.
    Utterances shorter than a chunk are used whole, as padded items whose lengths are told.

    Args:
        chunks: ESPnet's iterator: its data, shards, batch size, order and chunk lengths (samples)
            are used, its cutting is not. It must collate (`discard_short_samples=False`).
        frame_rule: Frames per audio sample.
        audio_name: The stream that holds samples; all others hold one value per frame.
        num_batches: Batches of an epoch. Where its utterances give more, the last ones are left
            out; where they give fewer, the first ones are cut again, elsewhere. None: as many as
            they give, which depends on where they are cut.

    Raises:
        ConfigError: If a chunk length is not a multiple of the hop.
    """

    def __init__(
        self,
        chunks: ChunkIterFactory,
        frame_rule: FrameRule,
        audio_name: str = "audio",
        num_batches: int | None = None,
    ) -> None:
        self.chunks = chunks
        self.num_batches = num_batches
        self.frame_rule = frame_rule
        self.audio_name = audio_name
        for length in chunks.chunk_lengths:
            if length % frame_rule.hop_samples or length < 1:
                nearest = max(1, round(length / frame_rule.hop_samples)) * frame_rule.hop_samples
                raise ConfigError(
                    f"chunk_length {length} is not a multiple of the codec's hop of"
                    f" {frame_rule.hop_samples} samples; the nearest one is {nearest}."
                )

    def build_iter(
        self, epoch: int, shuffle: bool | None = None
    ) -> Iterator[tuple[list[str], dict[str, torch.Tensor]]]:
        """Yield (utterance ids, batch) with batch["audio"]: (B, N) and others: (B, N / hop).

        Where items of a batch differ in length, `<name>_lengths`: (B,) are there as well.
        """
        shuffle = self.chunks.shuffle if shuffle is None else shuffle
        state = np.random.RandomState(epoch + self.chunks.seed)
        if self.num_batches is None:
            return self._pass_over_utterances(epoch, shuffle, state)
        passes = (self._pass_over_utterances(epoch, shuffle, state) for _ in itertools.count())
        return itertools.islice(itertools.chain.from_iterable(passes), self.num_batches)

    def _pass_over_utterances(
        self, epoch: int, shuffle: bool, state: np.random.RandomState
    ) -> Iterator[tuple[list[str], dict[str, torch.Tensor]]]:
        """Yield the batches of an epoch's utterances; the last one need not be full."""
        ids: list[str] = []
        chunks: dict[str, list[torch.Tensor]] = {}
        for (utt_id,), batch in self.chunks.per_sample_iter_factory.build_iter(epoch, shuffle):
            streams = {k: v[0] for k, v in batch.items() if not k.endswith("_lengths")}
            for chunk in self._cut(streams, shuffle, state):
                ids.append(utt_id)
                for name, values in chunk.items():
                    chunks.setdefault(name, []).append(values)
            if len(ids) > self.chunks.num_cache_chunks:
                ids, chunks = yield from self._full_batches(ids, chunks, shuffle, state)
        ids, chunks = yield from self._full_batches(ids, chunks, shuffle, state)
        if ids:
            rest = self.chunks.prepare_for_collate(ids, chunks)
            yield _without_equal_lengths(self.chunks.collate_fn(rest))

    def _full_batches(self, ids, chunks, shuffle, state):
        """Yield full batches; return what is left."""
        batches = self.chunks._generate_mini_batches(ids, chunks, shuffle, state)
        while True:
            try:
                yield _without_equal_lengths(next(batches))
            except StopIteration as end:
                return end.value

    def _cut(
        self, streams: dict[str, torch.Tensor], shuffle: bool, state: np.random.RandomState
    ) -> Iterator[dict[str, torch.Tensor]]:
        """Yield the chunks of an utterance, all streams cut at the same frames."""
        hop = self.frame_rule.hop_samples
        audio = streams[self.audio_name]
        num_frames = self.frame_rule.num_frames(len(audio))
        candidates = [n // hop for n in self.chunks.chunk_lengths if n // hop <= num_frames]
        if not candidates:
            yield streams
            return
        width = int(state.choice(candidates))
        shift = max(1, int(width * self.chunks.chunk_shift_ratio))
        offset = int(state.randint(shift)) if shuffle else 0
        whole = torch.nn.functional.pad(audio, (0, num_frames * hop - len(audio)))
        for start in chunk_starts(num_frames, width, shift, offset):
            yield {
                name: whole[start * hop : (start + width) * hop]
                if name == self.audio_name
                else values[start : start + width]
                for name, values in streams.items()
            }


def parse_chunk_lengths(text: str | int) -> list[int]:
    """Return the chunk lengths (samples) of ESPnet's option: "3200", "3200,6400", "5-8".

    Raises:
        ConfigError: If it is none of these.
    """
    lengths: list[int] = []
    try:
        for part in str(text).split(","):
            first, *last = map(int, part.split("-"))
            (last_one,) = last or [first]
            if last_one < first:
                raise ValueError
            lengths += range(first, last_one + 1)
    except ValueError as error:
        raise ConfigError(
            f"chunk_length '{text}' is not a number of samples, a list a,b or a range a-b with a"
            " not above b."
        ) from error
    return lengths


def expected_chunks(num_frames: int, widths: Sequence[int], shift_ratio: float) -> float:
    """Return how many chunks an utterance gives on average, over random widths and offsets.

    Worked example: 10 frames, width 4, shift 4: starts at 0 and 6 always, and between them at 1
    to 5, one in four of which lies on the grid: 3.25.
    """
    fitting = [width for width in widths if width <= num_frames]
    counts = []
    for width in fitting:
        last = num_frames - width
        counts.append(2 + (last - 1) / max(1, int(width * shift_ratio)) if last else 1.0)
    return sum(counts) / len(counts) if counts else 1.0


def chunk_starts(num_frames: int, width: int, shift: int, offset: int) -> Sequence[int]:
    """Return start frames on the grid offset + i * shift, its ends moved in to cover every frame.

    Worked example: 10 frames, width 4, shift 4, offset 3 gives 0, 3, 6.
    """
    last = num_frames - width
    grid = range(offset - shift, last + shift, shift)
    return sorted({min(max(start, 0), last) for start in grid})


def _without_equal_lengths(
    batch: tuple[list[str], dict[str, torch.Tensor]],
) -> tuple[list[str], dict[str, torch.Tensor]]:
    """Drop the lengths of a batch without padding, so that the model need not look at them."""
    ids, streams = batch
    names = [name for name in streams if not name.endswith("_lengths")]
    if any((streams[f"{n}_lengths"] != streams[n].shape[1]).any() for n in names):
        return ids, streams
    return ids, {name: streams[name] for name in names}

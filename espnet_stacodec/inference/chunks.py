"""Audio and codes of any number and length through a generator: cut, padded, joined again."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeGuard

import torch
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from espnet_stacodec.frames import FrameRule, Piece, cut_into_pieces
from espnet_stacodec.gan_codec.quantizer.residual import PADDED_CODE
from espnet_stacodec.gan_codec.windows import Windows
from espnet_stacodec.streaming import long_audio

if TYPE_CHECKING:
    from espnet_stacodec.gan_codec.builtin import BuiltinGenerator
    from espnet_stacodec.gan_codec.generator import STACodecGenerator

    Generator = STACodecGenerator | BuiltinGenerator

# Longer audio is cut; a causal codec makes of it what it makes of the whole. Of another one,
# what convolutions and LSTMs see beyond the context hardly matters; what a transformer makes of the
# end of a piece reaches as far back as one of its windows.
PIECE_SECONDS = 60
CONTEXT_SECONDS = 4


def pieces_of(num_frames: int, rule: FrameRule, windows: Sequence[Windows] = ()) -> list[Piece]:
    """Return the pieces in which `num_frames` frames are processed.

    Args:
        num_frames: T.
        rule: The codec's.
        windows: Those of the transformers that the frames go through, one after the other. Pieces
            start where their windows start in the whole, so that a frame is seen with the same
            neighbours.
    """
    context = rule.num_frames(CONTEXT_SECONDS * rule.sample_rate) + sum(w.size for w in windows)
    return cut_into_pieces(
        num_frames,
        rule.num_frames(PIECE_SECONDS * rule.sample_rate),
        context,
        math.lcm(*(w.stride for w in windows)),
    )


@dataclasses.dataclass(frozen=True)
class _Item:
    """A piece of one of several signals.

    Attributes:
        index: Index of the signal.
        piece: Which of its frames.
        signal: (N,) samples or (n, T) codes of the piece.
    """

    index: int
    piece: Piece
    signal: torch.Tensor

    @property
    def length(self) -> int:
        """Samples or frames."""
        return self.signal.shape[-1]

    @property
    def kept(self) -> slice:
        """The frames to keep, of those that are read."""
        return slice(self.piece.first - self.piece.start, self.piece.last - self.piece.start)


def encode(
    generator: "Generator",
    waves: Sequence[torch.Tensor],
    tokens: Callable[[int], torch.Tensor | None],
    batch_size: int,
) -> list[torch.Tensor]:
    """Return the codes (n_codebooks, T_i) of each waveform.

    Args:
        generator: In eval mode.
        waves: (N_i,) float32 samples at the codec's rate.
        tokens: Returns the semantic tokens (T_i,) of a waveform, by its index; None for none.
        batch_size: Pieces at a time.
    """
    rule, device = generator.frame_rule, next(generator.parameters()).device
    items = [
        _Item(index, piece, wave[rule.num_samples(piece.start) : rule.num_samples(piece.stop)])
        for index, wave in enumerate(waves)
        for piece in _pieces(generator, rule.num_frames(len(wave)), generator.windows)
    ]

    def run(batch: Sequence[_Item]) -> Iterator[torch.Tensor]:
        given = []
        for item in batch:
            if (whole := tokens(item.index)) is not None:
                given.append(whole[item.piece.start : item.piece.stop].to(device))
        if _is_long(generator, batch, rule.hop_samples):
            for row, item in enumerate(batch):
                made = long_audio.encode(
                    generator, item.signal.to(device), given[row] if given else None
                )
                yield made.to(item.signal.device)
            return
        codes = generator.codes(
            pad_sequence([item.signal.to(device) for item in batch], True).unsqueeze(1),
            pad_sequence(given, True, PADDED_CODE) if given else None,
            _lengths(batch, device),
        )
        for row, item in enumerate(batch):
            yield codes[:, row, item.kept].to(item.signal.device)

    return _in_batches(items, run, batch_size, len(waves), "encode")


def decode(
    generator: "Generator", codes: Sequence[torch.Tensor], batch_size: int
) -> list[torch.Tensor]:
    """Return the waveform (T_i * hop,) of each codes (n, T_i); arguments as for `encode`."""
    rule, device = generator.frame_rule, next(generator.parameters()).device
    items = [
        _Item(index, piece, whole[:, piece.start : piece.stop])
        for index, whole in enumerate(codes)
        for piece in _pieces(generator, whole.shape[1])
    ]

    def run(batch: Sequence[_Item]) -> Iterator[torch.Tensor]:
        if _is_long(generator, batch, 1):
            for item in batch:
                made = long_audio.decode(generator, item.signal.to(device))
                yield made.to(item.signal.device)
            return
        padded = pad_sequence([item.signal.to(device).T for item in batch], False, PADDED_CODE)
        audio = generator.decode(padded.permute(2, 1, 0), _lengths(batch, device))
        for row, item in enumerate(batch):
            first, last = map(rule.num_samples, (item.kept.start, item.kept.stop))
            yield audio[row, 0, first:last].to(item.signal.device)

    return _in_batches(items, run, batch_size, len(codes), "decode")


def _pieces(
    generator: "Generator", num_frames: int, windows: Sequence[Windows] = ()
) -> list[Piece]:
    """Return the pieces in which a generator sees audio; a causal one sees all of it."""
    if generator.causal:
        return [Piece(0, num_frames, 0, num_frames)]
    return pieces_of(num_frames, generator.frame_rule, windows)


def _is_long(
    generator: "Generator", batch: Sequence[_Item], frame: int
) -> TypeGuard["STACodecGenerator"]:
    """Return whether a causal generator goes through a batch step by step.

    Args:
        generator: The generator.
        batch: Its items.
        frame: Length of a frame, in what their lengths are counted in.
    """
    rule = generator.frame_rule
    limit = rule.num_frames(PIECE_SECONDS * rule.sample_rate) * frame
    return generator.causal and max(item.length for item in batch) > limit


def _lengths(batch: Sequence[_Item], device: torch.device) -> torch.Tensor | None:
    """Return the lengths (B,) of a batch; None where nothing is padded."""
    lengths = [item.length for item in batch]
    return None if len(set(lengths)) == 1 else torch.tensor(lengths, device=device)


def _in_batches(
    items: Sequence[_Item],
    run: Callable[[Sequence[_Item]], Iterator[torch.Tensor]],
    batch_size: int,
    number: int,
    name: str,
) -> list[torch.Tensor]:
    """Run batches of items of similar length; join what is kept of each of `number` signals."""
    order = sorted(range(len(items)), key=lambda i: -items[i].length)
    results: dict[int, torch.Tensor] = {}
    starts = range(0, len(order), batch_size)
    for start in tqdm(starts, name, unit="batch", disable=len(items) == number):
        rows = order[start : start + batch_size]
        results |= zip(rows, run([items[i] for i in rows]), strict=True)
    parts: list[list[torch.Tensor]] = [[] for _ in range(number)]
    for i, item in enumerate(items):
        parts[item.index].append(results[i])
    return [torch.cat(part, dim=-1) for part in parts]

"""Waveforms with their tokens, cut into pieces and padded into batches; codes joined again."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from espnet_stacodec.frames import FrameRule, Piece, cut_into_pieces
from espnet_stacodec.gan_codec.quantizer.residual import PADDED_CODE
from espnet_stacodec.gan_codec.windows import Windows

# Longer audio is cut. What convolutions and LSTMs see beyond the context hardly matters; what a
# transformer makes of the end of a piece reaches as far back as one of its windows.
PIECE_SECONDS = 60
CONTEXT_SECONDS = 4


@dataclasses.dataclass(frozen=True)
class WavePiece:
    """A piece of one of several waveforms.

    Attributes:
        waveform_index: Index of the waveform.
        piece: Which of its frames.
        wave: (N,) samples at the codec's rate.
        tokens: (T,) semantic tokens; None where there are none.
    """

    waveform_index: int
    piece: Piece
    wave: np.ndarray
    tokens: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Batch:
    """Pieces padded to the same length.

    Attributes:
        audio: (B, 1, T * hop) samples, zero in the padding.
        tokens: (B, T) int64, PADDED_CODE in the padding; None where the pieces have none.
        num_frames: (B,) valid frames; None where nothing is padded.
    """

    audio: torch.Tensor
    tokens: torch.Tensor | None
    num_frames: torch.Tensor | None


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


def cut_wave(
    waveform_index: int,
    samples: np.ndarray,
    tokens: np.ndarray | None,
    rule: FrameRule,
    windows: Sequence[Windows],
) -> Iterator[WavePiece]:
    """Cut one of several waveforms, (N,) samples, and its tokens (T,); windows as `pieces_of`."""
    for piece in pieces_of(rule.num_frames(len(samples)), rule, windows):
        part = samples[rule.num_samples(piece.start) : rule.num_samples(piece.stop)]
        part_tokens = None if tokens is None else tokens[piece.start : piece.stop]
        yield WavePiece(waveform_index, piece, part, part_tokens)


def pad(items: Sequence[WavePiece], rule: FrameRule) -> Batch:
    """Put pieces, all with tokens or all without, into a batch."""
    frames = [rule.num_frames(len(item.wave)) for item in items]
    audio = torch.zeros(len(items), 1, rule.num_samples(max(frames)))
    tokens = torch.full((len(items), max(frames)), PADDED_CODE)
    for row, item in enumerate(items):
        audio[row, 0, : len(item.wave)] = torch.from_numpy(item.wave)
        if item.tokens is not None:
            tokens[row, : frames[row]] = torch.from_numpy(item.tokens)
    return Batch(
        audio,
        None if items[0].tokens is None else tokens,
        None if min(frames) == max(frames) else torch.tensor(frames),
    )


def join(
    items: Sequence[WavePiece], codes: Mapping[int, torch.Tensor], number: int
) -> list[torch.Tensor]:
    """Join the codes of pieces.

    Args:
        items: The pieces of `number` waveforms, in order.
        codes: (n, T) of each piece, by its place in `items`.
        number: How many waveforms there are.

    Returns:
        (n, T) of each waveform, of the frames that are kept.
    """
    parts: list[list[torch.Tensor]] = [[] for _ in range(number)]
    for i, item in enumerate(items):
        piece = item.piece
        parts[item.waveform_index].append(
            codes[i][:, piece.first - piece.start : piece.last - piece.start]
        )
    return [torch.cat(part, dim=1) for part in parts]

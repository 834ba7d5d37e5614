"""The only place that converts between samples, frames and tokens."""

import dataclasses
import itertools
import math

import numpy as np

from espnet_stacodec.errors import ConfigError, LengthError

# S3PRL upstreams and the codec round differently by at most one frame.
TOLERANCE_FRAMES = 1


@dataclasses.dataclass(frozen=True)
class FrameRule:
    """Frames of a codec: N samples have T = ceil(N / hop) frames.

    Attributes:
        hop_samples: Samples per frame; the product of the encoder's strides.
        sample_rate: Samples per second (Hz).
    """

    hop_samples: int
    sample_rate: int

    def __post_init__(self) -> None:
        if self.hop_samples < 1 or self.sample_rate < 1:
            raise ConfigError(
                f"A frame needs a positive hop and sample rate, got hop {self.hop_samples} samples"
                f" at {self.sample_rate} Hz; check the strides and the sampling rate of the codec."
            )

    @property
    def frame_rate_hz(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_samples

    def num_frames(self, num_samples: int) -> int:
        """Return T = ceil(N / hop): the last, partial frame counts."""
        return math.ceil(num_samples / self.hop_samples)

    def num_samples(self, num_frames: int) -> int:
        """Return the samples that `num_frames` whole frames span."""
        return num_frames * self.hop_samples


def align_tokens(utt_id: str, tokens: np.ndarray, num_frames: int) -> np.ndarray:
    """Bring the tokens of an utterance to exactly `num_frames` frames.

    Args:
        utt_id: Named in the error.
        tokens: (T',) one token a frame.
        num_frames: T, the codec's frames of the utterance.

    Returns:
        (T,) `tokens`, with one frame trimmed or the last one repeated where T' differs by one.

    Raises:
        LengthError: If T' differs from T by more than one frame, or if there is no token.
    """
    difference = len(tokens) - num_frames
    if abs(difference) > TOLERANCE_FRAMES or len(tokens) == 0:
        raise LengthError(
            f"{utt_id}: {len(tokens)} semantic tokens for {num_frames} codec frames"
            f" (at most {TOLERANCE_FRAMES} may differ); extract its tokens again (stage 3)."
        )
    if difference > 0:
        return tokens[:num_frames]
    return np.pad(tokens, (0, -difference), mode="edge")


@dataclasses.dataclass(frozen=True)
class Piece:
    """A stretch of long audio that is processed alone, with context on both sides.

    Attributes:
        start: First frame that is read.
        stop: The one after the last frame that is read.
        first: First frame that is kept.
        last: The one after the last frame that is kept.
    """

    start: int
    stop: int
    first: int
    last: int


def cut_into_pieces(
    num_frames: int, piece_frames: int, context_frames: int, grid: int = 1
) -> list[Piece]:
    """Cut frames into pieces whose kept frames follow each other; short audio is one piece.

    Args:
        num_frames: T.
        piece_frames: The most frames that a piece keeps.
        context_frames: Frames beside them that are read on each side, at least.
        grid: What each piece's first frame that is read is a multiple of; the context before a
            piece is up to `grid` - 1 frames longer for it.
    """
    if num_frames <= piece_frames + 2 * context_frames:
        return [Piece(0, num_frames, 0, num_frames)]
    # Of equal length, so that none is too short to be worth anything.
    number = math.ceil(num_frames / piece_frames)
    borders = [num_frames * i // number for i in range(number + 1)]
    return [
        Piece(
            max(0, first - context_frames) // grid * grid,
            min(num_frames, last + context_frames),
            first,
            last,
        )
        for first, last in itertools.pairwise(borders)
    ]

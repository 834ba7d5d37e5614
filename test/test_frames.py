"""Samples, frames and tokens."""

import numpy as np
import pytest

from espnet_stacodec.errors import ConfigError, LengthError
from espnet_stacodec.frames import FrameRule, Piece, align_tokens, cut_into_pieces


@pytest.mark.parametrize(
    ("samples", "frames"),
    [(1, 1), (319, 1), (320, 1), (321, 2), (640, 2), (641, 3), (16000 * 3600 * 40 + 1, 7200001)],
)
def test_the_last_partial_frame_counts(samples, frames):
    assert FrameRule(320, 16000).num_frames(samples) == frames


def test_whole_frames_and_rate():
    rule = FrameRule(320, 16000)
    assert rule.num_samples(3) == 960
    assert rule.frame_rate_hz == 50.0
    assert FrameRule(300, 24000).frame_rate_hz == 80.0


@pytest.mark.parametrize("values", [(0, 16000), (320, 0), (-320, 16000)])
def test_impossible_frames(values):
    with pytest.raises(ConfigError, match="positive hop and sample rate"):
        FrameRule(*values)


@pytest.mark.parametrize(
    ("tokens", "frames", "expected"),
    [([4, 5, 6], 3, [4, 5, 6]), ([4, 5, 6], 2, [4, 5]), ([4, 5, 6], 4, [4, 5, 6, 6])],
)
def test_one_frame_more_or_less_is_brought_to_length(tokens, frames, expected):
    aligned = align_tokens("utt", np.array(tokens, dtype=np.int32), frames)
    assert aligned.tolist() == expected and aligned.dtype == np.int32


@pytest.mark.parametrize(("count", "frames"), [(3, 5), (3, 1), (0, 1)])
def test_more_is_an_error_that_names_utterance_and_lengths(count, frames):
    message = f"^utt: {count} semantic tokens for {frames} codec frames"
    with pytest.raises(LengthError, match=message):
        align_tokens("utt", np.zeros(count, dtype=np.int32), frames)


def test_pieces_worked_by_hand():
    assert cut_into_pieces(14, 10, 2) == [Piece(0, 14, 0, 14)]
    assert cut_into_pieces(21, 10, 2) == [
        Piece(0, 9, 0, 7),
        Piece(5, 16, 7, 14),
        Piece(12, 21, 14, 21),
    ]


@pytest.mark.parametrize("num_frames", [1, 99, 100, 101, 1000, 12345])
def test_pieces_keep_every_frame_once_and_stay_small(num_frames):
    pieces = cut_into_pieces(num_frames, 60, 20)
    kept = [frame for piece in pieces for frame in range(piece.first, piece.last)]
    assert kept == list(range(num_frames))
    for piece in pieces:
        assert 0 <= piece.start <= piece.first < piece.last <= piece.stop <= num_frames
        assert piece.stop - piece.start <= 60 + 2 * 20

"""Some of several streams end: whose results come, and in which order."""

import numpy as np
import pytest
import torch
from causal_codecs import HOP, SPECTRAL, build_codec, speech
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_stacodec import AudioCoding
from espnet_stacodec.errors import DataError

EXAMPLES = settings(max_examples=10, deadline=None, derandomize=True, database=None)
NUMBER = 4


@pytest.fixture(scope="module")
def codec() -> AudioCoding:
    return build_codec(**SPECTRAL)


#: Numbers of some streams or of all, in any order.
ORDERS = st.permutations(range(NUMBER)).flatmap(
    lambda order: st.integers(0, NUMBER).map(lambda count: order[:count])
)


@EXAMPLES
@given(orders=st.lists(ORDERS, min_size=1, max_size=3), frames=st.integers(0, 8))
def test_codes_come_in_the_order_in_which_streams_are_named(codec, orders, frames):
    """Of equally many frames, so that they are computed together, and of different ones."""
    streams = codec.encoder_streams(NUMBER)
    alone = [codec.encoder_stream() for _ in range(NUMBER)]
    for turn, order in enumerate(orders):
        waves = [speech(frames * HOP + 7 * row, 10 * turn + row) for row in range(NUMBER)]
        together = streams.push(waves)
        for one, wave, codes in zip(alone, waves, together, strict=True):
            assert torch.equal(codes, one.push(wave))
        ends = streams.flush(order)
        assert len(ends) == len(order)
        for row, codes in zip(order, ends, strict=True):
            assert torch.equal(codes, alone[row].flush())


def test_players_end_in_any_order(codec):
    codes = [torch.from_numpy(np.random.default_rng(row).integers(0, 8, (3, 5))) for row in (0, 1)]
    players = codec.decoder_streams(2)
    new = players.state
    players.push(codes)
    assert [len(audio) for audio in players.flush((np.int64(1), 0))] == [0, 0]
    assert all(torch.equal(value, new[name]) for name, value in players.state.items())


@pytest.mark.parametrize("make", ["encoder_streams", "decoder_streams"])
@pytest.mark.parametrize(
    ("streams", "message"),
    [
        ([2, 0, 2], "Stream 2 is named twice"),
        ([0, np.int64(0)], "Stream 0 is named twice"),
        ([True], "True is no number of a stream"),
        ([0, True], "True is no number of a stream"),
        ([np.True_], "is no number of a stream"),
        ([0, 1.0], "1.0 is no number of a stream"),
        ([0, "1"], "'1' is no number of a stream"),
        ([None], "None is no number of a stream"),
        ("01", "'0' is no number of a stream"),
        ([0, -1], "There is no stream -1; they are 0 to 3"),
        ([4], "There is no stream 4; they are 0 to 3"),
        (2, r"by a list of their numbers, such as \[0\], not by int"),
        ({0, 1}, "by a list of their numbers, .* not by set"),
        (True, "by a list of their numbers, .* not by bool"),
    ],
)
def test_streams_that_there_are_not(codec, make, streams, message):
    several = getattr(codec, make)(NUMBER)
    pushed = speech(700, 1) if make == "encoder_streams" else torch.ones(3, 2, dtype=torch.long)
    several.push([pushed] * NUMBER)
    before = several.state
    with pytest.raises(DataError, match=message) as raised:
        several.flush(streams)
    assert "\n" not in str(raised.value)
    assert all(torch.equal(value, before[name]) for name, value in several.state.items())
    assert len(several.flush([3, 0])) == 2

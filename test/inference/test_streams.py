"""Streams: in whatever pieces, the codes of `encode` and the audio of `decode`."""

import copy
import threading
from typing import Any

import numpy as np
import pytest
import torch
from causal_codecs import HOP, SPECTRAL, build_codec, cut, cuts, speech
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_stacodec import AudioCoding

# Audio may differ by rounding, of samples in -1..1.
AUDIO_TOLERANCE = 1e-5
# The same in each run, and no limit on the time of one: a test that fails fails again.
EXAMPLES = settings(max_examples=12, deadline=None, derandomize=True, database=None)
LOOKAHEADS = [(0, 0), (1, 2), (0, 3), (4, 0)]


@pytest.fixture(scope="module", params=[{}, SPECTRAL], ids=["seanet", "spectral"])
def codec(request) -> AudioCoding:
    return build_codec(**request.param)


@pytest.fixture(
    scope="module", params=[*LOOKAHEADS, SPECTRAL], ids=[*map(str, LOOKAHEADS), "spectral"]
)
def any_codec(request) -> AudioCoding:
    if request.param is SPECTRAL:
        return build_codec(**SPECTRAL)
    return build_codec(request.param)


def waves(longest: int = 60 * HOP) -> st.SearchStrategy[np.ndarray]:
    return st.builds(speech, st.integers(1, longest), st.integers(0, 999))


def cuttings(longest: int = 60 * HOP) -> st.SearchStrategy[list[int]]:
    """Return where signals are cut: in pieces of any size, also of none."""
    return st.lists(st.integers(0, longest), max_size=40).map(sorted)


def cut_at(signal: np.ndarray | torch.Tensor, borders: list[int]) -> list[Any]:
    within = [0, *(border for border in borders if border <= signal.shape[-1])]
    return cut(signal, np.diff([*within, signal.shape[-1]]).tolist())


def encoded(stream, pieces) -> torch.Tensor:
    return torch.cat([*(stream.push(piece) for piece in pieces), stream.flush()], 1)


def test_the_codes_of_these_tests_are_as_different_as_they_can_be(any_codec):
    """Else equality would say little."""
    codes = any_codec.encode(speech(200 * HOP, 1), 16000)
    assert all(len(row.unique()) >= 6 for row in codes)
    assert all((row[1:] != row[:-1]).float().mean() > 0.2 for row in codes)


@EXAMPLES
@given(wave=waves(), cuttings=st.lists(cuttings(), min_size=1, max_size=2))
def test_codes_of_any_cutting_are_those_of_encode(any_codec, wave, cuttings):
    expected = any_codec.encode(wave, 16000)
    stream = any_codec.encoder_stream()
    # Reused: a flush leaves nothing behind.
    for borders in cuttings:
        assert torch.equal(encoded(stream, cut_at(wave, borders)), expected)


@pytest.mark.parametrize("params", [{}, SPECTRAL], ids=["seanet", "spectral"])
def test_codes_in_single_precision(params):
    """Where two entries are as near, rounding decides: on some CPU a code may differ, not more."""
    codec = build_codec(precision="float32", **params)
    wave = speech(40 * HOP + 3, 11)
    expected = codec.encode(wave, 16000)
    pieces = cut(wave, cuts(len(wave), 0, 999))
    assert (encoded(codec.encoder_stream(), pieces) != expected).sum() <= 1
    audio = codec.decoder_stream().push(expected)
    torch.testing.assert_close(audio, codec.decode(expected), rtol=0, atol=AUDIO_TOLERANCE)


@pytest.mark.parametrize("size", [1, 37, HOP, 16000, 10**6])
def test_pieces_of_one_size(codec, size):
    wave = speech(3 * HOP + 5 if size == 1 else 25 * HOP + 5, 3)
    pieces = [wave[i : i + size] for i in range(0, len(wave), size)]
    assert torch.equal(encoded(codec.encoder_stream(), pieces), codec.encode(wave, 16000))


@pytest.mark.parametrize("samples", [1, HOP - 1, HOP, HOP + 1, 3 * HOP, 4 * HOP - 1])
def test_audio_shorter_than_what_is_looked_ahead_at(any_codec, samples):
    wave = speech(samples, 4)
    assert torch.equal(encoded(any_codec.encoder_stream(), [wave]), any_codec.encode(wave, 16000))


def test_a_frame_comes_as_soon_as_it_can(any_codec):
    """After its own samples and those of the frames that are looked ahead at."""
    stream = any_codec.encoder_stream()
    wait = round(any_codec.latency_seconds * 50) - 1
    wave = speech(20 * HOP, 5)
    for frame in range(20):
        assert stream.push(wave[frame * HOP : (frame + 1) * HOP - 1]).shape == (3, 0)
        came = stream.push(wave[(frame + 1) * HOP - 1 : (frame + 1) * HOP])
        assert came.shape == (3, int(frame >= wait))
    assert stream.flush().shape == (3, wait)


def test_nothing_pushed_gives_nothing(codec):
    stream = codec.encoder_stream()
    assert stream.flush().shape == (3, 0)
    assert stream.push(np.zeros(0, np.float32)).shape == (3, 0)
    assert stream.flush().shape == (3, 0)
    assert codec.decoder_stream().flush().shape == (0,)


def test_the_first_codebooks(codec):
    wave = speech(9 * HOP, 6)
    expected = codec.encode(wave, 16000, n_codebooks=2)
    assert torch.equal(encoded(codec.encoder_stream(2), [wave]), expected)


@pytest.mark.parametrize("type", ["float64", "int16", "int32", "uint8"])
def test_samples_of_every_type_that_encode_takes(codec, type):
    wave = speech(9 * HOP, 7)
    if type != "float64":
        info = np.iinfo(type)
        middle = (info.max + info.min + 1) // 2
        wave = np.clip(wave * info.max / 2 + middle, info.min, info.max)
    wave = wave.astype(type)
    pieces = [wave[:500], torch.from_numpy(wave[500:])]
    assert torch.equal(encoded(codec.encoder_stream(), pieces), codec.encode(wave, 16000))


@EXAMPLES
@given(
    conversations=st.lists(
        st.tuples(waves(40 * HOP), cuttings(), st.integers(0, 9)), min_size=2, max_size=4
    )
)
def test_streams_together_are_as_alone(any_codec, conversations):
    """They begin, end and pause at different times, with pieces of different sizes."""
    pieces = [cut_at(wave, borders) for wave, borders, _ in conversations]
    starts = [start for *_, start in conversations]
    streams = any_codec.encoder_streams(len(conversations))
    made: list[list[torch.Tensor]] = [[] for _ in conversations]
    for time in range(max(s + len(p) for s, p in zip(starts, pieces, strict=True)) + 1):
        turn = [time - start for start in starts]
        given = [p[i] if 0 <= i < len(p) else None for i, p in zip(turn, pieces, strict=True)]
        for row, codes in enumerate(streams.push(given)):
            made[row].append(codes)
        ended = [row for row, i in enumerate(turn) if i == len(pieces[row])]
        for row, codes in zip(ended, streams.flush(ended), strict=True):
            made[row].append(codes)
    for (wave, *_), of_stream in zip(conversations, made, strict=True):
        assert torch.equal(torch.cat(of_stream, 1), any_codec.encode(wave, 16000))


def test_all_streams_end_together(codec):
    waves = [speech(n, n) for n in (5 * HOP, 7, 12 * HOP + 1)]
    streams = codec.encoder_streams(3)
    codes = streams.push(waves)
    ends = streams.flush()
    for wave, first, last in zip(waves, codes, ends, strict=True):
        assert torch.equal(torch.cat([first, last], 1), codec.encode(wave, 16000))


@EXAMPLES
@given(
    frames=st.integers(1, 130),
    books=st.integers(1, 3),
    cuttings=st.lists(cuttings(130), min_size=1, max_size=2),
    seed=st.integers(0, 99),
)
def test_audio_of_any_cutting_is_that_of_decode(codec, frames, books, cuttings, seed):
    codes = torch.from_numpy(np.random.default_rng(seed).integers(0, 8, (books, frames)))
    expected = codec.decode(codes)
    stream = codec.decoder_stream()
    for borders in cuttings:
        pieces = cut_at(codes, borders)
        audio = torch.cat([*(stream.push(piece) for piece in pieces), stream.flush()])
        assert audio.dtype == torch.float32
        torch.testing.assert_close(audio, expected, rtol=0, atol=AUDIO_TOLERANCE)
    assert expected.abs().max() > 0.01  # a tolerance of a thousandth of it


@EXAMPLES
@given(
    conversations=st.lists(
        st.tuples(st.integers(1, 70), st.integers(1, 3), cuttings(70), st.integers(0, 9)),
        min_size=2,
        max_size=4,
    )
)
def test_players_together_are_as_alone(codec, conversations):
    """They begin, end and pause at different times, with pieces of different sizes."""
    rng = np.random.default_rng(len(conversations))
    codes = [rng.integers(0, 8, (books, frames)) for frames, books, *_ in conversations]
    pieces = [cut_at(c, borders) for c, (*_, borders, _) in zip(codes, conversations, strict=True)]
    starts = [start for *_, start in conversations]
    players = codec.decoder_streams(len(conversations))
    heard: list[list[torch.Tensor]] = [[] for _ in conversations]
    for time in range(max(s + len(p) for s, p in zip(starts, pieces, strict=True)) + 1):
        turn = [time - start for start in starts]
        given = [p[i] if 0 <= i < len(p) else None for i, p in zip(turn, pieces, strict=True)]
        for row, audio in enumerate(players.push(given)):
            heard[row].append(audio)
        players.flush([row for row, i in enumerate(turn) if i == len(pieces[row])])
    for of_stream, expected in zip(heard, codes, strict=True):
        audio = torch.cat(of_stream)
        torch.testing.assert_close(audio, codec.decode(expected), rtol=0, atol=AUDIO_TOLERANCE)


def test_decoded_together_and_with_another_number_of_codebooks(codec):
    one, other = (torch.randint(0, 8, (3, n)) for n in (30, 17))
    streams = codec.decoder_streams(2)
    first = streams.push([one[:, :11], None])
    second = streams.push([one[:, 11:].numpy(), other[:2, :5]])
    third = streams.push([one[:, :0], other[:, 5:]])
    audio = torch.cat([first[0], second[0], third[0]])
    torch.testing.assert_close(audio, codec.decode(one), rtol=0, atol=AUDIO_TOLERANCE)
    # Nothing but its latents follow from a frame's codes.
    alone = codec.decoder_stream()
    expected = torch.cat([alone.push(other[:2, :5]), alone.push(other[:, 5:])])
    audio = torch.cat([first[1], second[1], third[1]])
    torch.testing.assert_close(audio, expected, rtol=0, atol=AUDIO_TOLERANCE)


def test_streams_that_were_made_in_inference_mode_go_on_outside():
    wave = speech(9 * HOP, 3)
    with torch.inference_mode():
        codec = build_codec(precision="float32", **SPECTRAL)
        stream, player = codec.encoder_stream(), codec.decoder_stream()
        copied = copy.deepcopy(stream)
    expected = codec.encode(wave, 16000)
    for one in (stream, copied):
        assert torch.equal(torch.cat([one.push(wave), one.flush()], 1), expected)
    assert len(player.push(expected)) == len(wave)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("params", [{}, SPECTRAL], ids=["seanet", "spectral"])
def test_the_callers_default_dtype_changes_nothing(params, dtype):
    wave, borders = speech(9 * HOP, 3), [500, 1500, 1600]
    codec = build_codec(precision="float32", **params)

    def results() -> list[torch.Tensor]:
        stream, player = codec.encoder_stream(), codec.decoder_stream()
        codes = encoded(stream, cut_at(wave, borders))
        return [codes, player.push(codes), player.push(codes[:, :0]), player.flush()]

    expected = results()
    torch.set_default_dtype(dtype)
    try:
        found = results()
    finally:
        torch.set_default_dtype(torch.float32)
    for tensor, other in zip(found, expected, strict=True):
        assert tensor.dtype == other.dtype and torch.equal(tensor, other)


def test_latents_are_single_precision_in_any_precision(codec):
    assert codec.precision == "float64"
    assert codec.latents(np.zeros((1, 4), int)).dtype == torch.float32


def test_memory_does_not_grow(codec):
    """Neither by the number of pieces nor by their length."""
    stream, player = codec.encoder_stream(), codec.decoder_stream()
    sizes = stream.state_bytes, player.state_bytes
    player.push(stream.push(speech(300 * HOP, 1)))
    for seed in range(20):
        player.push(stream.push(speech(777, seed)))
    assert (stream.state_bytes, player.state_bytes) == sizes
    for state, size in zip((stream.state, player.state), sizes, strict=True):
        assert sum(tensor.nbytes for tensor in state.values()) == size
    # Neither holds on to the storage of a longer tensor.
    for streams in (stream._streams, player._streams):
        held = [t.untyped_storage().nbytes() for t in streams._state.values()]
        assert sum(held) == streams.state_bytes


def test_streams_in_two_threads(codec):
    waves = [speech(40 * HOP, seed) for seed in range(2)]
    found: dict[int, torch.Tensor] = {}

    def run(index: int) -> None:
        pieces = cut(waves[index], cuts(len(waves[index]), index, 900))
        found[index] = encoded(codec.encoder_stream(), pieces)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, wave in enumerate(waves):
        assert torch.equal(found[index], codec.encode(wave, 16000))


def test_a_plain_codec_streams(codec):
    plain = build_codec(assignment="none", predistillation=None, bottleneck=None, lstm_layers=0)
    wave = speech(30 * HOP + 1, 3)
    found = encoded(plain.encoder_stream(), cut(wave, cuts(len(wave), 0, 700)))
    assert torch.equal(found, plain.encode(wave, 16000))
    assert plain.latency_seconds == 0.02


@pytest.mark.parametrize(
    ("lookaheads", "params", "milliseconds"),
    [((0, 0), {}, 20), ((1, 2), {}, 80), ((0, 0), SPECTRAL, 60)],
)
def test_latency(lookaheads, params, milliseconds):
    codec = build_codec(lookaheads, **params)
    assert codec.is_causal
    assert codec.latency_seconds * 1000 == pytest.approx(milliseconds)

"""What streams refuse: in one sentence, and they go on as if it had not been tried."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from causal_codecs import HOP, build_codec, speech

from espnet_stacodec import AudioCoding
from espnet_stacodec.errors import ConfigError, DataError, STACodecError, TokenError
from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.inference.decoder_streams import DecoderStreams
from espnet_stacodec.pretrained.shipped.lookup import STREAMING_NAME
from espnet_stacodec.streaming.state import State

WAVE = speech(20 * HOP, 1)


@pytest.fixture(scope="module")
def codec() -> AudioCoding:
    return build_codec()


@pytest.mark.parametrize(
    ("piece", "message"),
    [
        (np.array([0.1, np.nan]), "stream 0: 1 samples are NaN or infinite"),
        (np.array([np.inf]), "stream 0: 1 samples are NaN or infinite"),
        (np.zeros((2, 50)), r"stream 0: expected one channel \(N,\), got shape \(2, 50\); mix it"),
        (np.zeros(50, np.int64), "stream 0: expected floating point samples .* got int64"),
        (np.zeros(50, complex), "stream 0: expected floating point samples .* got complex128"),
        (np.array(["a"]), "stream 0: expected floating point samples"),
        (np.full(50, 20000.0), "stream 0: its peak is 20000, far beyond the full scale"),
    ],
)
def test_a_bad_piece_leaves_the_stream_as_it_was(codec, piece, message):
    stream = codec.encoder_stream()
    first = stream.push(WAVE[:1000])
    before = stream.state
    with pytest.raises(DataError, match=message) as raised:
        stream.push(piece)
    assert "\n" not in str(raised.value)
    assert all(torch.equal(value, before[name]) for name, value in stream.state.items())
    codes = torch.cat([first, stream.push(WAVE[1000:]), stream.flush()], 1)
    assert torch.equal(codes, codec.encode(WAVE, 16000))


def test_a_bad_piece_of_one_stream_leaves_all_as_they_were(codec):
    streams = codec.encoder_streams(2)
    streams.push([WAVE[:1000], WAVE[:50]])
    before = streams.state
    with pytest.raises(DataError, match="stream 1: 3 samples are NaN"):
        streams.push([WAVE[1000:], np.full(3, np.nan)])
    assert all(torch.equal(value, before[name]) for name, value in streams.state.items())


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (torch.full((3, 2), 16), r"stream 0: Code 16 of codebook 1, frame 0, is outside 0\.\.7"),
        (torch.full((3, 2), -1), r"stream 0: Code -1 of codebook 1, frame 0, is outside 0\.\.7"),
        (torch.zeros(4, 2, dtype=torch.long), "of 1 to 3 codebooks, not int64 .4, 2."),
        (torch.zeros(2, dtype=torch.long), "Codes must be integers"),
        (torch.zeros(3, 2), "Codes must be integers .* not float32"),
        (torch.zeros(4, 0, dtype=torch.long), "Codes must be integers"),
    ],
)
def test_bad_codes_leave_the_stream_as_it_was(codec, codes, message):
    stream = codec.decoder_stream()
    stream.push(torch.ones(3, 2, dtype=torch.long))
    before = stream.state
    with pytest.raises(TokenError, match=message):
        stream.push(codes)
    assert all(torch.equal(value, before[name]) for name, value in stream.state.items())


@pytest.mark.parametrize("number", [10**9, 10**30])
@pytest.mark.parametrize("make", ["encoder_streams", "decoder_streams"])
def test_more_streams_than_any_memory_holds(codec, make, number):
    message = f"^{number} streams need .* GB of memory, which is not there; make fewer.$"
    with pytest.raises(ConfigError, match=message):
        getattr(codec, make)(number)


@pytest.mark.parametrize("error", [MemoryError, RuntimeError])
def test_more_streams_than_there_is_memory_for_now(codec, error, monkeypatch):
    new = State({"x": torch.zeros(1, 250)})

    def full(streams: int) -> State:
        if streams > 1:
            raise error("DefaultCPUAllocator: can't allocate memory")
        return new

    monkeypatch.setattr(DecoderStreams, "_new_state", lambda _, streams: full(streams))
    with pytest.raises(ConfigError, match="9000 streams need 0.009 GB of memory, which is"):
        codec.decoder_streams(9000)


def test_another_error_is_not_taken_for_a_lack_of_memory(codec, monkeypatch):
    def broken(self: DecoderStreams, streams: int) -> State:
        if streams > 1:
            raise RuntimeError("another one")
        return State({"x": torch.zeros(1)})

    monkeypatch.setattr(DecoderStreams, "_new_state", broken)
    with pytest.raises(RuntimeError, match="another one"):
        codec.decoder_streams(2)


def test_audio_of_another_rate(codec):
    for rate in (16000, np.int64(16000), torch.tensor(16000)):
        stream = codec.encoder_stream(sample_rate=rate)
        codes = torch.cat([stream.push(WAVE), stream.flush()], 1)
        assert torch.equal(codes, codec.encode(WAVE, 16000))
        assert codec.encoder_streams(2, 1, rate).n_codebooks == 1
    for make in (codec.encoder_stream, lambda **rate: codec.encoder_streams(2, **rate)):
        with pytest.raises(DataError, match="has 8000 Hz, .* take 16000 Hz; resample it before"):
            make(sample_rate=8000)
        for rate in (True, 0, -1):
            with pytest.raises(DataError, match=f"the sampling rate of {rate} Hz is invalid"):
                make(sample_rate=rate)


def test_codes_of_another_codec(codec):
    """`Codes` say which codec made them; arrays cannot."""
    made = codec.encode(WAVE, 16000).numpy()
    own, other = (Codes(made, len(WAVE), 16000, name) for name in (codec.fingerprint, "0" * 16))
    player, players = codec.decoder_stream(), codec.decoder_streams(2)
    expected = codec.decoder_stream().push(made)
    with pytest.raises(TokenError, match=f"stream 0: .* by codec {'0' * 16}, not by"):
        player.push(other)
    with pytest.raises(TokenError, match=f"stream 1: .* by codec {'0' * 16}, not by"):
        players.push([own, other])
    assert torch.equal(player.push(own), expected)
    for audio in players.push([own, made]):
        torch.testing.assert_close(audio, expected, rtol=0, atol=1e-5)
    damaged = dataclasses.replace(own, codes=made.astype(float))
    with pytest.raises(TokenError, match="stream 0: Codes must be integers"):
        player.push(damaged)


@pytest.mark.parametrize(
    "make",
    [
        lambda codec: codec.encoder_stream(),
        lambda codec: codec.encoder_streams(2),
        lambda codec: codec.decoder_stream(),
        lambda codec: codec.decoder_streams(2),
    ],
)
def test_a_codec_that_is_not_causal(plain, make: Callable[[AudioCoding], object]):
    match = rf"cannot stream.* take {STREAMING_NAME}, .*causal: true.*train_spd_streaming"
    with pytest.raises(ConfigError, match=match):
        make(plain)
    assert not plain.is_causal


def test_float64_is_for_causal_codecs(plain):
    with pytest.raises(ConfigError, match="precision 'float64' is for causal codecs"):
        AudioCoding(plain.generator, precision="float64")


def test_a_codec_that_needs_tokens_decodes_only():
    codec = build_codec(predistillation=None)
    with pytest.raises(TokenError, match="cannot encode a stream: .* hears the whole utterance"):
        codec.encoder_stream()
    assert codec.decoder_stream().push(torch.zeros(1, 2, dtype=torch.long)).shape == (2 * HOP,)


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda c: c.encoder_streams(0), "number of streams 0 is invalid; it must be 1 or more"),
        (lambda c: c.encoder_streams(True), "number of streams True is invalid"),
        (lambda c: c.encoder_stream(4), r"n_codebooks 4 is invalid; it must be in 1\.\.3"),
        (lambda c: c.encoder_streams(2).push([WAVE]), "1 pieces are given for 2 streams"),
        (lambda c: c.decoder_streams(2).push([]), "0 pieces are given for 2 streams"),
        (lambda c: c.encoder_streams(2).flush([2]), "There is no stream 2; they are 0 to 1"),
    ],
)
def test_numbers_that_do_not_fit(codec, work, message):
    with pytest.raises(STACodecError, match=message):
        work(codec)


@pytest.mark.parametrize("direction", ["encoder", "decoder"])
def test_a_push_that_was_interrupted_is_not_gone_on_from(codec, direction, monkeypatch):
    """By Ctrl-C, or for lack of memory: it has gone through some of the networks."""
    whole = codec.encode(WAVE, 16000)
    if direction == "encoder":
        stream, pieces, last = codec.encoder_stream(), (WAVE[:1000], WAVE[1000:]), "codes"
    else:
        stream, pieces, last = codec.decoder_stream(), (whole[:, :5], whole[:, 5:]), "step"
    first, before = stream.push(pieces[0]), stream.state

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(stream._streams._steps, last, interrupt)
        stream.push(pieces[1])
    for go_on in (lambda: stream.push(pieces[1]), stream.flush, lambda: stream.state):
        with pytest.raises(DataError, match="push or flush of this stream was interrupted.* set"):
            go_on()
    stream.state = before
    found = torch.cat([first, stream.push(pieces[1]), stream.flush()], -1)
    assert torch.equal(found, whole if direction == "encoder" else codec.decode(whole))

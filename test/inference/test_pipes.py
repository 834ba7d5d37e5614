"""Raw audio to codes and back through pipes: whatever arrives when, nothing is lost."""

import io
import logging
import struct

import numpy as np
import pytest
import soundfile
import torch
from causal_codecs import HOP, build_codec, cuts, speech

from espnet_stacodec import AudioCoding
from espnet_stacodec.errors import ConfigError, DataError, TokenError
from espnet_stacodec.inference.pipes import HEADER, decode_pipe, encode_pipe


@pytest.fixture(scope="module", params=[(0, 0), (1, 2)], ids=str)
def codec(request) -> AudioCoding:
    return build_codec(request.param)


class Pipe(io.BytesIO):
    """A pipe in which data arrives in pieces of random sizes."""

    def __init__(self, data: bytes, seed: int) -> None:
        super().__init__(data)
        self.sizes = iter([size for size in cuts(len(data), seed, 3000) if size])

    def read1(self, size: int | None = -1) -> bytes:
        return super().read(next(self.sizes, -1))


class Drops(io.BytesIO):
    """A pipe in which each byte arrives alone."""

    def read1(self, size: int | None = -1) -> bytes:
        return super().read(1)


def pcm(num_samples: int, seed: int = 0) -> np.ndarray:
    return (speech(num_samples, seed) * 20000).round().astype("<i2")


def encoded(codec: AudioCoding, audio: bytes, seed: int = 0, books: int | None = None) -> bytes:
    sink = io.BytesIO()
    encode_pipe(codec, Pipe(audio, seed), sink, books)
    return sink.getvalue()


def decoded(codec: AudioCoding, codes: bytes, seed: int = 0) -> np.ndarray:
    sink = io.BytesIO()
    number = decode_pipe(codec, Pipe(codes, seed), sink)
    audio = np.frombuffer(sink.getvalue(), "<i2")
    assert len(audio) == number
    return audio


@pytest.mark.parametrize("books", [1, 3])
@pytest.mark.parametrize("samples", [1, HOP - 1, HOP, 20 * HOP, 20 * HOP + 7, 70 * HOP - 1])
def test_there_and_back_is_as_of_files(codec, samples, books):
    audio = pcm(samples)
    codes = codec.encode(audio.astype(np.int16), 16000, n_codebooks=books)
    expected = codec.decode(codes, samples).numpy()
    made = encoded(codec, audio.tobytes(), samples, books)
    # A header, the codes, and the end.
    assert len(made) == HEADER.size + 2 * codes.numel() + 4
    found = decoded(codec, made, samples + 1)
    assert len(found) == samples
    np.testing.assert_allclose(found / 2**15, expected.clip(-1, 1), rtol=0, atol=0.6 / 2**15)


def test_the_bytes_are_those_of_the_description(codec):
    audio = pcm(3 * HOP + 5)
    codes = codec.encode(audio.astype(np.int16), 16000)
    expected = b"STACODES" + struct.pack("<HHI", 1, 3, 16000) + codec.fingerprint.encode()
    expected += codes[:, :3].T.numpy().astype("<u2").tobytes()
    expected += struct.pack("<HH", 65535, 5) + codes[:, 3].numpy().astype("<u2").tobytes()
    assert encoded(codec, audio.tobytes()) == expected


def test_a_frame_is_sent_before_the_next_one_arrives(codec):
    """What has been written when each piece is asked for."""
    wait = round(codec.latency_seconds * 50) - 1
    audio, written = pcm(10 * HOP), []
    sink = io.BytesIO()

    class Live(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            written.append((len(sink.getvalue()) - HEADER.size) // 6)
            start = HOP * (len(written) - 1)
            return audio[start : start + HOP].tobytes()

    encode_pipe(codec, Live(), sink)
    assert written == [max(0, frames - wait) for frames in range(11)]


def test_no_audio_is_no_audio(codec):
    assert len(decoded(codec, encoded(codec, b""))) == 0


def test_half_a_sample_at_the_end(codec, caplog):
    audio = pcm(5 * HOP)
    with caplog.at_level(logging.WARNING):
        found = encoded(codec, audio.tobytes() + b"\x01", 1)
    assert found == encoded(codec, audio.tobytes(), 2)
    assert "its last byte was left out" in caplog.text


@pytest.mark.parametrize("lost", [1, 6, 10, 11, 100])
def test_codes_that_break_off(codec, lost):
    """All complete frames are decoded, then it is said."""
    whole = encoded(codec, pcm(60 * HOP - 3).tobytes())
    sink = io.BytesIO()
    frames = min(59, (len(whole) - lost - HEADER.size) // 6)
    with pytest.raises(DataError, match=f"break off after {frames} frames.*been decoded"):
        decode_pipe(codec, Pipe(whole[:-lost], 0), sink)
    assert len(sink.getvalue()) == frames * HOP * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda codes: b"", "no stream of codes"),
        (lambda codes: codes[:20], "no stream of codes"),
        (lambda codes: b"RIFF" + codes, "no stream of codes"),
        (lambda codes: codes[:8] + b"\2\0" + codes[10:], "has version 2, and this program reads 1"),
        (lambda codes: codes[:10] + b"\4\0" + codes[12:], "codes of 4 codebooks, and the codec 3"),
        (
            lambda codes: codes[:12] + b"\x40\x1f\0\0" + codes[16:],
            "has 8000 Hz, and its codec has 16",
        ),
        (lambda codes: codes[:16] + 16 * b"f" + codes[32:], "made by codec ffffffffffffffff, not"),
        (
            lambda codes: codes[:16] + b"a\nb\r\x1b\0\xff\\ 3456789" + codes[32:],
            r"made by codec a\\nb\\r\\x1b\\x00\\xff\\\\ 3456789, not",
        ),
    ],
)
def test_what_is_no_stream_of_this_codec(codec, change, message):
    codes = encoded(codec, pcm(3 * HOP).tobytes())
    with pytest.raises(DataError, match=message):
        decoded(codec, change(codes))


@pytest.mark.parametrize("kind", ["WAV", "MP3", "W64", "codes"])
def test_files_are_no_raw_audio(codec, kind):
    content = io.BytesIO()
    message = r"is a file \(.*raw samples.*arecord -t raw"
    if kind == "codes":
        content.write(encoded(codec, pcm(1000).tobytes()))
        message = "is a stream of codes, and no audio; decode it with"
    else:
        soundfile.write(content, pcm(1000), 16000, format=kind)
    for source in (Drops(content.getvalue()), *(Pipe(content.getvalue(), i) for i in range(3))):
        sink = io.BytesIO()
        with pytest.raises(DataError, match=message):
            encode_pipe(codec, source, sink)
        assert len(sink.getvalue()) == HEADER.size


@pytest.mark.parametrize("length", [HOP, HOP + 1, 40000, 65535])
def test_a_last_frame_that_is_too_long(codec, length):
    codes = encoded(codec, pcm(3 * HOP + 5).tobytes())
    # The end mark stands before the last frame, 3.
    place = HEADER.size + 6 * 3 + 2
    wrong = codes[:place] + struct.pack("<H", length) + codes[place + 2 :]
    sink = io.BytesIO()
    if length == HOP:
        assert decode_pipe(codec, Pipe(wrong, 0), sink) == 4 * HOP
        return
    message = f"after 3 frames.*{length} samples, and a frame has {HOP}.*has been decoded"
    with pytest.raises(DataError, match=message):
        decode_pipe(codec, Pipe(wrong, 0), sink)
    assert len(sink.getvalue()) == 3 * HOP * 2


@pytest.mark.parametrize("samples", [0, 3 * HOP + 5])
def test_joined_streams_and_other_data_after_the_end(codec, samples):
    audio = pcm(samples)
    codes = encoded(codec, audio.tobytes())
    for more in (codes, b"\n"):
        for pieces in ([codes + more], [codes, more]):
            sink, source = io.BytesIO(), io.BytesIO()
            source.read1 = lambda *_, left=pieces: left.pop(0) if left else b""  # type: ignore
            with pytest.raises(DataError, match="more data follow the end.*one by one"):
                decode_pipe(codec, source, sink)
            assert len(sink.getvalue()) == 2 * samples


@pytest.mark.parametrize("frame", [0, 9, 30])
@pytest.mark.parametrize(("book", "code"), [(1, 8), (2, 48), (2, 65535), (3, 65535)])
def test_codes_out_of_range(codec, book, code, frame):
    """The frames before are decoded, and the wrong one is counted from the stream's start."""
    good = encoded(codec, pcm(30 * HOP + 5).tobytes())
    # The end mark stands before the last frame, 30.
    place = HEADER.size + 6 * frame + 4 * (frame == 30) + 2 * (book - 1)
    wrong = good[:place] + struct.pack("<H", code) + good[place + 2 :]
    expected = decoded(codec, good)[: frame * HOP]
    for source in (io.BytesIO(wrong), *(Pipe(wrong, seed) for seed in range(3)), Drops(wrong)):
        sink = io.BytesIO()
        where = f"Code {code} of codebook {book}, frame {frame} of the stream, is outside 0"
        with pytest.raises(TokenError, match=rf"{where}.*before has been decoded"):
            decode_pipe(codec, source, sink)
        found = np.frombuffer(sink.getvalue(), "<i2")
        assert len(found) == len(expected)
        assert np.abs(found - expected.astype(int)).max(initial=0) <= 1


def test_codebooks_that_the_format_does_not_hold():
    codec = build_codec((0, 0))
    codec.generator.codebooks[1].size = 65536
    with pytest.raises(ConfigError, match="at most 65535 entries a codebook; this codec has 65536"):
        encode_pipe(codec, io.BytesIO(), io.BytesIO())


def test_a_pipe_gives_the_same_for_any_timing(codec):
    audio = pcm(40 * HOP + 11)
    codes = {encoded(codec, audio.tobytes(), seed) for seed in range(4)}
    assert len(codes) == 1
    assert torch.isfinite(torch.from_numpy(decoded(codec, codes.pop()).copy())).all()

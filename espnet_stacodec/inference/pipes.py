"""Raw audio to codes and back through pipes, as they come (`stacodec encode --stream`).

The codes between the two commands, all numbers little-endian:

| bytes  | type          | content                                                              |
|--------|---------------|----------------------------------------------------------------------|
| 0..7   | text          | `STACODES`                                                           |
| 8..9   | uint16        | version of this format, 1                                            |
| 10..11 | uint16        | number of codebooks, n                                               |
| 12..15 | uint32        | sampling rate (Hz)                                                   |
| 16..31 | text          | fingerprint of the codec                                             |
| then   | n uint16 each | the codes of a frame, from 0                                         |
| at end | 2 uint16      | 65535, and how many samples the frame that follows has; 0: none does |

The last frame comes after the end mark: a decoder then knows at once how much of it is audio.
"""

import logging
import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import torch
from typeguard import typechecked

from espnet_stacodec.errors import ConfigError, DataError, TokenError
from espnet_stacodec.fileio.audio_kinds import LONGEST_START, kind_of_file
from espnet_stacodec.fileio.code_files import check_fingerprint
from espnet_stacodec.fileio.waiting import arriving, send
from espnet_stacodec.inference.audio_coding import AudioCoding

MAGIC, VERSION = b"STACODES", 1
HEADER = struct.Struct("<8sHHI16s")
END_MARK = 0xFFFF
SAMPLE = np.dtype("<i2")
CODE = np.dtype("<u2")
FULL_SCALE = 2**15


@typechecked
def encode_pipe(
    codec: AudioCoding, source: BinaryIO, sink: BinaryIO, n_codebooks: int | None = None
) -> int:
    """Encode 16-bit mono audio at the codec's rate until it ends.

    Args:
        codec: A causal codec.
        source: The samples, little-endian. Whatever has arrived is encoded together.
        sink: Gets the codes of each frame as soon as they are known.
        n_codebooks: How many codebooks to write; None for all.

    Returns:
        Number of samples, N.

    Raises:
        ConfigError: If the codec cannot stream, or its codes do not fit the format.
        DataError: If it begins as a file of audio does (`kind_of_file`), or as codes.
    """
    stream = codec.encoder_stream(n_codebooks)
    if max(codec.codebook_sizes) > END_MARK:
        raise ConfigError(
            f"A stream of codes has at most {END_MARK} entries a codebook; this codec has"
            f" {max(codec.codebook_sizes)}, so encode files."
        )
    books = codec.n_codebooks if n_codebooks is None else n_codebooks
    head = (MAGIC, VERSION, books, codec.sample_rate, codec.fingerprint.encode())
    send(sink, HEADER.pack(*head))
    samples, rest = 0, b""
    for came in _raw(arriving(source), codec.sample_rate):
        data = rest + came
        whole = len(data) // SAMPLE.itemsize * SAMPLE.itemsize
        piece, rest = np.frombuffer(data[:whole], SAMPLE), data[whole:]
        samples += len(piece)
        send(sink, _to_bytes(stream.push(piece.astype(np.int16))))
    if rest:
        logging.warning("the audio ended in the middle of a sample: its last byte was left out.")
    last = stream.flush()
    of_last = (samples - 1) % codec.frame_rule.hop_samples + 1 if last.shape[1] else 0
    end = np.array([END_MARK, of_last], CODE).tobytes()
    send(sink, _to_bytes(last[:, :-1]) + end + _to_bytes(last[:, -1:]))
    return samples


@typechecked
def decode_pipe(codec: AudioCoding, source: BinaryIO, sink: BinaryIO) -> int:
    """Decode what `encode_pipe` writes, until it ends.

    Args:
        codec: The codec that made the codes.
        source: The codes. Whatever has arrived is decoded together.
        sink: Gets the samples of each frame, 16-bit, little-endian, as soon as its codes are there.

    Returns:
        Number of samples, N.

    Raises:
        ConfigError: If the codec cannot stream.
        TokenError: If the codes are of another codec or out of range.
        DataError: If it is no such stream, its header or end is damaged, it breaks off, or more
            follows its end. The frames before what is wrong have been decoded, whatever arrived
            together.
    """
    stream = codec.decoder_stream()
    samples = 0
    for codes, length in _frames(source, codec):
        audio = stream.push(codes)
        audio = audio if length is None else audio[:length]
        scaled = (audio.numpy() * FULL_SCALE).round().clip(-FULL_SCALE, FULL_SCALE - 1)
        send(sink, scaled.astype(SAMPLE).tobytes())
        samples += len(audio)
    stream.flush()
    return samples


def _frames(source: BinaryIO, codec: AudioCoding) -> Iterator[tuple[torch.Tensor, int | None]]:
    """Yield codes (n, t) as they arrive, and of the last frame how many samples it has."""
    pieces = arriving(source)
    data = b""
    while len(data) < HEADER.size and (came := next(pieces, b"")):
        data += came
    books = _check_header(data[: HEADER.size], codec)
    sizes = np.array(codec.codebook_choices[:books])
    data, done, mark = data[HEADER.size :], 0, 2 * CODE.itemsize
    while True:
        size = books * CODE.itemsize
        codes = np.frombuffer(data[: len(data) // size * size], CODE).reshape(-1, books)
        ends = np.flatnonzero(codes[:, 0] == END_MARK)
        codes = codes[: ends[0]] if len(ends) else codes
        for good in _before_wrong(codes, sizes, done):
            yield torch.from_numpy(good.T.astype(np.int64)), None
        done += len(codes)
        data = data[len(codes) * size :]
        ended = int.from_bytes(data[: CODE.itemsize], "little") == END_MARK
        if ended and len(data) >= mark:
            length = int.from_bytes(data[CODE.itemsize : mark], "little")
            if length > (hop := codec.frame_rule.hop_samples):
                raise DataError(
                    f"after {done} frames, the end of the codes says that the last frame has"
                    f" {length} samples, and a frame has {hop}; the stream is damaged. What came"
                    " before has been decoded."
                )
            end = mark + size if length else mark
            if len(data) >= end:
                last = np.frombuffer(data[mark:end], CODE).reshape(-1, books)
                for good in _before_wrong(last, sizes, done):
                    yield torch.from_numpy(good.T.astype(np.int64)), length
                if data[end:] or next(pieces, b""):
                    raise DataError(
                        "more data follow the end of the codes; what came before has been decoded."
                        " Decode streams that were joined one by one."
                    )
                return
        if not (came := next(pieces, b"")):
            raise DataError(
                f"the codes break off after {done} frames, without an end; what came before has"
                " been decoded. Was the encoder stopped?"
            )
        data += came


def _before_wrong(codes: np.ndarray, sizes: np.ndarray, done: int) -> Iterator[np.ndarray]:
    """Yield the frames before the first one with a code out of range, then raise TokenError.

    codes: (t, n), the frames after `done` others of the stream; sizes: (n,). Yields nothing where
    there are none.
    """
    wrong = np.argwhere(codes >= sizes)
    good = codes[: wrong[0, 0]] if len(wrong) else codes
    if len(good):
        yield good
    if len(wrong):
        frame, book = wrong[0]
        raise TokenError(
            f"Code {codes[frame, book]} of codebook {book + 1}, frame {done + frame} of the stream,"
            f" is outside 0..{sizes[book] - 1}; what came before has been decoded."
        )


def _check_header(header: bytes, codec: AudioCoding) -> int:
    """Return the number of codebooks that follow."""
    if len(header) < HEADER.size or not header.startswith(MAGIC):
        raise DataError("this is no stream of codes; make one with `stacodec encode --stream`.")
    _, version, books, sample_rate, fingerprint = HEADER.unpack(header)
    if version != VERSION:
        raise DataError(
            f"this stream of codes has version {version}, and this program reads {VERSION}; decode"
            " it with the version that made it."
        )
    # Any bytes can be there; `check_fingerprint` shows them escaped.
    check_fingerprint(fingerprint.decode("latin-1"), codec.fingerprint)
    if sample_rate != codec.sample_rate:
        raise DataError(
            f"this stream of codes says that its audio has {sample_rate} Hz, and its codec has"
            f" {codec.sample_rate} Hz; the stream is damaged, make it again."
        )
    if not 1 <= books <= codec.n_codebooks:
        raise TokenError(
            f"this stream has codes of {books} codebooks, and the codec {codec.n_codebooks}; make"
            " it again with `stacodec encode --stream`."
        )
    return books


def _raw(pieces: Iterator[bytes], sample_rate: int) -> Iterator[bytes]:
    """Yield what arrives, unless it is a file of audio or codes."""
    first = b""
    while len(first) < LONGEST_START and (came := next(pieces, b"")):
        first += came
    if first.startswith(MAGIC):
        raise DataError(
            "this is a stream of codes, and no audio; decode it with `stacodec decode --stream`."
        )
    if kind := kind_of_file(first):
        raise DataError(
            f"the audio is a file ({kind}), and a stream takes raw samples: 16-bit, little-endian,"
            f" mono, at {sample_rate} Hz, as `arecord -t raw -f S16_LE -r {sample_rate}` and"
            f" `sox IN -t raw -e signed -b 16 -c 1 -r {sample_rate} -` write them."
        )
    if first:
        yield first
    yield from pieces


def _to_bytes(codes: torch.Tensor) -> bytes:
    """codes: (n, t)."""
    return codes.T.numpy().astype(CODE).tobytes()

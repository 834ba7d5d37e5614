"""Real-time factors of streams in pieces, beside the whole at once, on one thread."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from typeguard import typechecked

from espnet_stacodec.evaluation.benchmark.systems import SAMPLE_RATE, build_generator
from espnet_stacodec.evaluation.benchmark.timing import side_by_side
from espnet_stacodec.fileio.markdown import markdown_table
from espnet_stacodec.inference.audio_coding import AudioCoding

# Of conf/train_spd_streaming.yaml, of conf/train_spectral_streaming.yaml, and with the transformers
# and LSTMs that the paper's codec has. What is looked ahead at costs nothing that can be measured.
_LAYERS = {"hidden": 512, "layers": 4, "heads": 8, "context_frames": 150}
SIZES: Mapping[str, Mapping[str, Any]] = {
    "streaming": {
        "lstm_layers": 1,
        "bottleneck": _LAYERS | {"feed_forward": 1024},
        "predistillation": {"transformer": _LAYERS | {"feed_forward": 2048}},
    },
    "spectral": {
        "spectral": {
            "encoder": {"channels": 296, "blocks": 2},
            "decoder": {"channels": 296, "blocks": 3},
        },
        "predistillation": {
            "convolution": {"channels": 208, "blocks": 3, "kernel": 11, "lookahead_frames": 4}
        },
    },
    "the paper's": {"bottleneck": {}, "predistillation": {}},
}
PRECISIONS = ("float32", "float16")
LONGEST_SECONDS = 2.0  # the streams take many times as long as the whole
PIECE_FRAMES = (1, 4)  # 20 ms and 80 ms
STREAMS = 8


@typechecked
def compare(seconds: float, repeats: int) -> str:
    """Return a table of the ways to code noise with codecs of full size.

    Args:
        seconds: Length of the noise; at most `LONGEST_SECONDS` of it are coded.
        repeats: Of each way; the shortest time counts.
    """
    torch.set_num_threads(1)
    rows: list[list[object]] = []
    notes = []
    for size, params in SIZES.items():
        generator = build_generator({"causal": True, **params})
        for precision in PRECISIONS:
            codec = AudioCoding(generator, precision=precision)
            of_codec = _compare(codec, seconds, repeats)
            rows += [[size, precision, *row] for row in of_codec]
        million = sum(parameter.numel() for parameter in generator.parameters()) / 1e6
        kept = (codec.encoder_stream().state_bytes, codec.decoder_stream().state_bytes)
        notes.append(
            f"{size}: {million:.0f} million parameters; a stream remembers {kept[0] / 1e6:.2f} MB"
            f" (encoding) and {kept[1] / 1e6:.2f} MB (decoding).\n"
        )
    headings = ["networks", "precision", "work", "way", "real-time factor", "ratio"]
    return (
        markdown_table(headings, rows)
        + f"\n\nOf {min(seconds, LONGEST_SECONDS):g} s of noise, on one thread; of several streams"
        + " together, per stream. Ratios are to the whole at once.\n"
        + "".join(notes)
    )


def _compare(codec: AudioCoding, seconds: float, repeats: int) -> list[list[object]]:
    """Return work, way, real-time factor and ratio of each way."""
    frames = codec.frame_rule.num_frames(round(min(seconds, LONGEST_SECONDS) * SAMPLE_RATE))
    wave = np.random.default_rng(0).normal(0, 0.1, codec.frame_rule.num_samples(frames))
    wave = wave.astype(np.float32)
    codes = codec.encode(wave, SAMPLE_RATE)
    duration = len(wave) / SAMPLE_RATE
    rows: list[list[object]] = []
    for work, ways in (("encode", _encoding(codec, wave)), ("decode", _decoding(codec, codes))):
        times = side_by_side({name: way for name, (way, _) in ways.items()}, repeats)
        # Per second of audio of each stream.
        factors = {name: times[name] / duration / ways[name][1] for name in ways}
        whole = factors["whole"]
        rows += [[work, name, f"{f:.3f}", f"{f / whole:.2f}"] for name, f in factors.items()]
    return rows


Ways = dict[str, tuple[Callable[[], object], int]]


def _encoding(codec: AudioCoding, wave: np.ndarray) -> Ways:
    """Return what is timed, and how many streams it codes, by name."""
    hop = codec.frame_rule.hop_samples
    ways: Ways = {"whole": (lambda: codec.encode(wave, SAMPLE_RATE), 1)}
    for name, number, size in _kinds(codec):
        pieces = [wave[i : i + size * hop] for i in range(0, len(wave), size * hop)]
        streams = codec.encoder_streams(number)
        ways[name] = (_all(streams.push, pieces, number, streams.flush), number)
    return ways


def _decoding(codec: AudioCoding, codes: torch.Tensor) -> Ways:
    """The same for codes (n, T)."""
    ways: Ways = {"whole": (lambda: codec.decode(codes), 1)}
    for name, number, size in _kinds(codec):
        streams = codec.decoder_streams(number)
        ways[name] = (_all(streams.push, codes.split(size, 1), number, streams.flush), number)
    return ways


def _kinds(codec: AudioCoding) -> list[tuple[str, int, int]]:
    """Return name, number of streams and frames of a piece of what is compared."""
    frame_ms = 1000 / codec.frame_rule.frame_rate_hz
    single = [(f"pieces of {size * frame_ms:g} ms", 1, size) for size in PIECE_FRAMES]
    size = PIECE_FRAMES[0]
    return [*single, (f"{STREAMS} streams, pieces of {size * frame_ms:g} ms", STREAMS, size)]


def _all(
    push: Callable[..., object], pieces: Any, number: int, flush: Callable[[], object]
) -> Callable[[], None]:
    """Return what pushes all pieces, each to all of the streams, and ends them."""

    def run() -> None:
        for piece in pieces:
            push([piece] * number)
        flush()

    return run

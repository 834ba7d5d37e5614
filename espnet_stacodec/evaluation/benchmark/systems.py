"""Seconds, memory and parameters of encoding and decoding, beside those of other systems.

Weights are random: they cost what trained ones cost.
"""

import dataclasses
import functools
import inspect
import logging
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from espnet2.gan_codec.encodec.encodec import Encodec
from espnet2.gan_codec.soundstream.soundstream import SoundStreamGenerator
from torch import nn
from typeguard import typechecked

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.evaluation.benchmark.timing import alone, peak_bytes
from espnet_stacodec.fileio.markdown import markdown_table
from espnet_stacodec.gan_codec.generator import STACodecGenerator
from espnet_stacodec.inference.audio_coding import AudioCoding

SAMPLE_RATE = 16000
# The sizes that codec and baseline share.
WIDTH: dict[str, Any] = {
    "dimension": 128,
    "n_filters": 64,
    "ratios": [8, 5, 4, 2],
    "lstm_layers": 2,
}
NUM_TOKENS = 1000
SHORTEST_SECONDS = 0.1  # five frames


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Time and memory of one system.

    Attributes:
        encode_seconds: Median time of encoding (s); None where there is none.
        decode_seconds: Median time of decoding (s); None where there is none.
        parameters: Number of weights.
        memory_bytes: Growth of its process's peak memory while it was built and ran.
    """

    encode_seconds: float | None
    decode_seconds: float | None
    parameters: int
    memory_bytes: int


@typechecked
def compare(seconds: float, threads: int, repeats: int) -> str:
    """Return `run_benchmark`'s results as a table."""
    return format_table(run_benchmark(seconds, threads, repeats))


@typechecked
def run_benchmark(seconds: float, threads: int, repeats: int) -> dict[str, Measurement]:
    """Measure all systems on `seconds` of noise; returns them by name.

    Raises:
        ConfigError: If a number is too small to measure anything.
    """
    if seconds < SHORTEST_SECONDS:
        raise ConfigError(f"--seconds {seconds:g} is below {SHORTEST_SECONDS:g}.")
    for option, number in (("--threads", threads), ("--repeats", repeats)):
        if number < 1:
            raise ConfigError(f"{option} {number} is below 1.")
    results = {}
    for name in SYSTEMS:
        logging.info("measuring %s", name)
        results[name] = alone(_measure, name, seconds, threads, repeats)
    return results


def _measure(name: str, seconds: float, threads: int, repeats: int) -> Measurement:
    torch.set_num_threads(threads)
    wave = np.random.default_rng(0).normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)
    return SYSTEMS[name](wave, repeats)


def format_table(results: Mapping[str, Measurement]) -> str:
    """Return a Markdown table, with times as ratios to ESPnet's encodec too."""
    baseline = results["ESPnet encodec"]
    headings = ["system", "encode (s)", "ratio", "decode (s)", "ratio"]
    headings += ["parameters (million)", "memory (GB)"]
    rows = [
        [
            name,
            *_cells(m.encode_seconds, baseline.encode_seconds),
            *_cells(m.decode_seconds, baseline.decode_seconds),
            f"{m.parameters / 1e6:.1f}",
            f"{m.memory_bytes / 1e9:.2f}",
        ]
        for name, m in results.items()
    ]
    lines = [markdown_table(headings, rows)]
    spd, sta = results["STACodec, SPD"], results["STACodec, tokens given"]
    ssl = results["WavLM-large-sized model"]
    if spd.encode_seconds and sta.encode_seconds and ssl.encode_seconds:
        whole = sta.encode_seconds + ssl.encode_seconds
        lines.append(
            f"\nEncoding with SPD takes {spd.encode_seconds / whole:.2f} of the time of an SSL"
            f" model and STA together ({whole:.2f} s)."
        )
    return "\n".join(lines) + "\n"


def _cells(seconds: float | None, baseline: float | None) -> tuple[str, str]:
    if seconds is None or baseline is None:
        return "-", "-"
    return f"{seconds:.2f}", f"{seconds / baseline:.2f}"


def _median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the median time (s) of `work`, after one call to warm up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def build_generator(params: Mapping[str, Any]) -> STACodecGenerator:
    """Return a generator of full size with random weights; `params` as for its constructor."""
    torch.manual_seed(0)
    sizes = WIDTH | {"semantic_clusters": NUM_TOKENS}
    generator = STACodecGenerator(SAMPLE_RATE, **sizes | dict(params))
    # Entries, as a training would give them.
    for codebook in generator.quantizer.codebooks:
        codebook.embed.normal_()
    generator.quantizer.updates.fill_(1)
    return generator


def _measure_codec(params: dict[str, Any], wave: np.ndarray, repeats: int) -> Measurement:
    before = peak_bytes()
    generator = build_generator(params)
    codec = AudioCoding(generator)
    num_frames = codec.frame_rule.num_frames(len(wave))
    tokens = np.arange(num_frames) % NUM_TOKENS if codec.needs_tokens else None
    codes = codec.encode(wave, SAMPLE_RATE, tokens)
    encode = _median_seconds(lambda: codec.encode(wave, SAMPLE_RATE, tokens), repeats)
    decode = _median_seconds(lambda: codec.decode(codes, len(wave)), repeats)
    return Measurement(encode, decode, _num_parameters(generator), peak_bytes() - before)


def _measure_encodec(wave: np.ndarray, repeats: int) -> Measurement:
    before = peak_bytes()
    torch.manual_seed(0)
    defaults = inspect.signature(Encodec).parameters["generator_params"].default
    sizes = {
        "sample_rate": SAMPLE_RATE,
        "hidden_dim": WIDTH["dimension"],
        "encdec_n_filters": WIDTH["n_filters"],
        "encdec_ratios": WIDTH["ratios"],
        "encdec_lstm": WIDTH["lstm_layers"],
        "quantizer_target_bandwidth": [4.0],
        "quantizer_kmeans_init": False,
    }
    # Without its discriminator, whose default arguments do not fit together.
    generator = SoundStreamGenerator(**defaults | sizes).eval()
    audio = torch.from_numpy(wave)[None, None]
    with torch.inference_mode():
        codes = generator.encode(audio)
        encode = _median_seconds(lambda: generator.encode(audio), repeats)
        decode = _median_seconds(lambda: generator.decode(codes), repeats)
    return Measurement(encode, decode, _num_parameters(generator), peak_bytes() - before)


def _measure_ssl(wave: np.ndarray, repeats: int) -> Measurement:
    from transformers import WavLMConfig, WavLMModel

    before = peak_bytes()
    config = WavLMConfig(
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        conv_bias=False,
    )
    model = WavLMModel(config).eval()
    audio = torch.from_numpy(wave)[None]
    with torch.inference_mode():
        seconds = _median_seconds(lambda: model(audio), repeats)
    return Measurement(seconds, None, _num_parameters(model), peak_bytes() - before)


SYSTEMS: dict[str, Callable[[np.ndarray, int], Measurement]] = {
    "ESPnet encodec": _measure_encodec,
    "STACodec, tokens given": functools.partial(_measure_codec, {"bottleneck": {}}),
    "STACodec, no bottleneck": functools.partial(_measure_codec, {}),
    "STACodec, SPD": functools.partial(_measure_codec, {"bottleneck": {}, "predistillation": {}}),
    "WavLM-large-sized model": _measure_ssl,
}

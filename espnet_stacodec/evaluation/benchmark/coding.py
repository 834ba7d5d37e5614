"""Encoding and decoding: several files, precisions, and the machine's limit."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from typeguard import typechecked

from espnet_stacodec.evaluation.benchmark import operations
from espnet_stacodec.evaluation.benchmark.systems import NUM_TOKENS, SAMPLE_RATE, build_generator
from espnet_stacodec.evaluation.benchmark.timing import has_bfloat16, matrix_rate, side_by_side
from espnet_stacodec.fileio.markdown import markdown_table
from espnet_stacodec.inference.audio_coding import AudioCoding

CODECS: dict[str, dict[str, Any]] = {
    "STA": {"bottleneck": {}},
    "SPD": {"bottleneck": {}, "predistillation": {}},
}
FILES = 8


@typechecked
def compare(seconds: float, threads: int, repeats: int) -> str:
    """Return tables of the ways to encode and decode `seconds` of noise with full-size codecs."""
    torch.set_num_threads(threads)
    limit = matrix_rate(repeats)
    rows: list[list[object]] = []
    limits: list[list[object]] = []
    for name, params in CODECS.items():
        of_codec, of_limit = _compare(name, params, seconds, repeats, limit)
        rows += of_codec
        limits += of_limit
    return (
        markdown_table(["work", "seconds", "way", "seconds ", "ratio", "equal codes (%)"], rows)
        + f"\n\nA matrix product of float32 runs at {limit:.0f} GFLOP/s with {threads} threads.\n\n"
        + markdown_table(["work", "GFLOP", "of which", "GFLOP/s", "of the product's (%)"], limits)
        + "\n"
    )


def _compare(
    name: str, params: dict[str, Any], seconds: float, repeats: int, limit: float
) -> tuple[list[list[object]], list[list[object]]]:
    generator = build_generator(params)
    codec = AudioCoding(generator)
    lower = {name: AudioCoding(generator, precision=name) for name in _lower_precisions()}
    random = np.random.default_rng(0)
    samples = round(seconds * SAMPLE_RATE)
    waves = [random.normal(0, 0.1, samples).astype(np.float32) for _ in range(FILES)]
    tokens = None
    if codec.needs_tokens:
        tokens = [np.arange(codec.frame_rule.num_frames(samples)) % NUM_TOKENS] * FILES
    first = tokens and tokens[0]
    codes = codec.encode(waves, SAMPLE_RATE, tokens, 1)
    lengths = [samples] * FILES
    runs = {
        "encode": lambda: codec.encode(waves[0], SAMPLE_RATE, first),
        "decode": lambda: codec.decode(codes[0], samples),
    }
    of_lower: dict[str, Callable[[], object]] = {}
    for precision, low in lower.items():
        of_lower |= {
            f"encode {precision}": partial(low.encode, waves[0], SAMPLE_RATE, first),
            f"decode {precision}": partial(low.decode, codes[0], samples),
        }
    with torch.inference_mode():
        times = side_by_side(runs | of_lower, repeats)
        of_files = side_by_side(
            {
                "encode 1": lambda: codec.encode(waves, SAMPLE_RATE, tokens, 1),
                "encode": lambda: codec.encode(waves, SAMPLE_RATE, tokens, FILES),
                "decode 1": lambda: codec.decode(codes, lengths, 1),
                "decode": lambda: codec.decode(codes, lengths, FILES),
            },
            max(1, repeats // 3),
        )
    equal = _equal(codes, codec.encode(waves, SAMPLE_RATE, tokens, FILES))
    together = f"{FILES} files together, each"

    def row(work: str, base: float, way: str, found: float, same: str = "-") -> list[object]:
        return [f"{name}, {work}", f"{base:.2f}", way, f"{found:.2f}", f"{found / base:.2f}", same]

    each = {key: value / FILES for key, value in of_files.items()}
    rows = [
        row("encode", each["encode 1"], together, each["encode"], f"{equal:.2f}"),
        row("decode", each["decode 1"], together, each["decode"]),
    ]
    for precision, low in lower.items():
        same = f"{_equal(codes[:1], [low.encode(waves[0], SAMPLE_RATE, first)]):.2f}"
        rows += [
            row("encode", times["encode"], precision, times[f"encode {precision}"], same),
            row("decode", times["decode"], precision, times[f"decode {precision}"]),
        ]
    return rows, _of_limit(name, codec, runs, times, limit)


def _lower_precisions() -> list[str]:
    """Return those that are not slower than float32 here."""
    return ["float16", *(["bfloat16"] if has_bfloat16() else [])]


def _of_limit(
    name: str,
    codec: AudioCoding,
    runs: Mapping[str, Callable[[], object]],
    times: Mapping[str, float],
    limit: float,
) -> list[list[object]]:
    """Return rows of the operations of each run, and their rate beside the limit (GFLOP/s)."""
    rows: list[list[object]] = []
    for work, run in runs.items():
        counted = operations.count(codec.generator, run)
        parts = ", ".join(f"{k} {v / 1e9:.0f}" for k, v in counted.by_kind.items() if v > 1e9)
        rate = counted.total / times[work] / 1e9
        share = f"{100 * rate / limit:.0f}"
        rows.append([f"{name}, {work}", f"{counted.total / 1e9:.0f}", parts, f"{rate:.0f}", share])
    return rows


def _equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """Return the share (%) of codes that are equal."""
    same = torch.cat([a == b for a, b in zip(one, other, strict=True)], dim=1)
    return 100 * same.float().mean().item()

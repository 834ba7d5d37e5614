"""Two worker processes beside one, on sets of files: stages 2, 3 and 6."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from typeguard import typechecked

from espnet_stacodec.data_prep.format_audio import format_set
from espnet_stacodec.evaluation.benchmark.systems import SAMPLE_RATE, WIDTH, build_generator
from espnet_stacodec.evaluation.resynthesis import SetToDecode, decode_set
from espnet_stacodec.fileio.audio import write_audio
from espnet_stacodec.fileio.files import write_scp, write_text
from espnet_stacodec.fileio.markdown import markdown_table
from espnet_stacodec.parallel import Workers, one_thread
from espnet_stacodec.semantic.extract import extract
from espnet_stacodec.semantic.tokenizer_info import UpstreamConfig

UTTERANCE_SECONDS = 12
SOURCE_RATE = 22050  # stage 2 resamples
WORKERS = (1, 2)


@typechecked
def compare(minutes: float) -> str:
    """Return a table of the stages' times on `minutes` of noise, with one and two workers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        number = max(2, round(60 * minutes / UTTERANCE_SECONDS))
        _write_audio(folder / "data", number)
        _write_codec(folder / "exp")
        rows = []
        for stage, run in STAGES.items():
            times = []
            for workers in WORKERS:
                start = time.perf_counter()
                run(folder, workers)
                times.append(time.perf_counter() - start)
            ratio = f"{times[0] / times[1]:.2f}"
            rows.append([stage, *(f"{seconds:.1f}" for seconds in times), ratio])
    headings = [f"stage, {minutes:g} minutes of audio", "1 worker (s)", "2 workers (s)", "ratio"]
    return markdown_table(headings, rows) + "\n"


def _write_audio(folder: Path, number: int) -> None:
    random = np.random.default_rng(0)
    wavs = {f"utt{i:05}": folder / f"utt{i:05}.wav" for i in range(number)}
    for path in wavs.values():
        wave = random.normal(0, 0.1, UTTERANCE_SECONDS * SOURCE_RATE).astype(np.float32)
        write_audio(path, wave, SOURCE_RATE)
    write_scp(folder / "wav.scp", wavs)
    write_scp(folder / "utt2spk", {utt_id: utt_id for utt_id in wavs})


def _write_codec(folder: Path) -> None:
    """Write an experiment of a full-size codec with random weights, which needs no tokens."""
    params = {"assignment": "none"}
    state = build_generator(params).state_dict()
    conf = {"sampling_rate": SAMPLE_RATE, "generator_params": WIDTH | params}
    write_text(folder / "config.yaml", yaml.safe_dump({"codec": "stacodec", "codec_conf": conf}))
    torch.save({f"codec.generator.{n}": v for n, v in state.items()}, folder / "latest.pth")


def _format(folder: Path, workers: int) -> None:
    with Workers(workers) as pool:
        format_set(folder / "data", folder / f"raw{workers}" / "train", workers=pool)


def _tokenize(folder: Path, workers: int) -> None:
    config = UpstreamConfig("mfcc", 0, 100, passes=2)
    out = folder / f"semantic{workers}"
    with one_thread(), Workers(workers) as pool:
        extract(config, folder / "raw1", "train", ["train"], out, pool)


def _decode(folder: Path, workers: int) -> None:
    scp, out = folder / "raw1" / "train" / "wav.scp", folder / f"decoded{workers}"
    job = SetToDecode(folder / "exp", "latest.pth", scp, None, out)
    with Workers(workers) as pool:
        decode_set(job, pool)


STAGES: dict[str, Callable[[Path, int], None]] = {
    "2, formatting": _format,
    "3, tokens of mfcc": _tokenize,
    "6, resynthesis": _decode,
}

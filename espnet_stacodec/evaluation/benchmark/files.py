"""Two worker processes beside one, on sets of files: stages 2, 3 and 6.

Each run is a process of its own, as recipes start them, so that all pay for what they load.
"""

import dataclasses
import logging
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
from espnet_stacodec.evaluation.benchmark.timing import alone
from espnet_stacodec.evaluation.benchmark.tokens import write_model
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
FILES = 10  # that differ; a set lists them again and again
CLUSTERS = 32
CONFIG_NAME = "ssl.yaml"


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage of the recipes.

    Attributes:
        name: Of its row.
        run: Does it in a folder, with so many workers.
        share: Its audio, of what was asked for: stages differ in speed.
    """

    name: str
    run: Callable[[Path, int], None]
    share: float


@typechecked
def compare(minutes: float) -> str:
    """Return a table of the stages' times with one and two workers.

    Args:
        minutes: Of noise for stage 3; ten times as much for stage 2, half of it for stage 6.
    """
    rows = []
    with tempfile.TemporaryDirectory() as name:
        config = write_model(Path(name) / "model")
        _write_codec(Path(name) / "exp")
        for stage in STAGES:
            folder, audio = Path(name) / stage.run.__name__, minutes * stage.share
            write_set(folder / "data", max(2, round(60 * audio / UTTERANCE_SECONDS)))
            format_set(folder / "data", folder / "raw" / "train")
            # A tenth of the audio for k-means: recipes take less.
            of_stage = dataclasses.replace(
                config, num_clusters=CLUSTERS, fit_hours=audio / 600, passes=2
            )
            write_text(folder / CONFIG_NAME, yaml.safe_dump(dataclasses.asdict(of_stage)))
            times = []
            for workers in WORKERS:
                logging.info("measuring stage %s, workers: %d", stage.name, workers)
                start = time.perf_counter()
                alone(stage.run, folder, workers)
                times.append(time.perf_counter() - start)
            seconds = [f"{second:.1f}" for second in times]
            rows.append([stage.name, f"{audio:g}", *seconds, f"{times[0] / times[1]:.2f}"])
    headings = ["stage", "minutes of audio", "1 worker (s)", "2 workers (s)", "ratio"]
    return markdown_table(headings, rows) + "\n"


def write_set(folder: Path, number: int) -> None:
    """Write noise, and lists of `number` utterances of it, as stage 1 does."""
    random = np.random.default_rng(0)
    paths = [folder / f"{i}.wav" for i in range(min(number, FILES))]
    for path in paths:
        wave = random.normal(0, 0.1, UTTERANCE_SECONDS * SOURCE_RATE).astype(np.float32)
        write_audio(path, wave, SOURCE_RATE)
    wavs = {f"utt{i:05}": paths[i % FILES] for i in range(number)}
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
        format_set(folder / "data", folder / f"formatted{workers}", workers=pool)


def _tokenize(folder: Path, workers: int) -> None:
    config = UpstreamConfig.read(folder / CONFIG_NAME)
    with one_thread(), Workers(workers) as pool:
        extract(config, folder / "raw", "train", ["train"], folder / f"semantic{workers}", pool)


def _decode(folder: Path, workers: int) -> None:
    scp, out = folder / "raw" / "train" / "wav.scp", folder / f"decoded{workers}"
    job = SetToDecode(folder.parent / "exp", "latest.pth", scp, None, out)
    with Workers(workers) as pool:
        decode_set(job, pool)


STAGES = (
    Stage("2, formatting", _format, 10),
    Stage("3, tokens of a HuBERT-base-sized model", _tokenize, 1),
    Stage("6, resynthesis", _decode, 0.5),
)

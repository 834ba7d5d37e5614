"""A training step, and the loading of its chunks, beside ESPnet's encodec of the same width."""

import dataclasses
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from espnet2.gan_codec.espnet_model import ESPnetGANCodecModel
from espnet2.iterators.chunk_iter_factory import ChunkIterFactory
from espnet2.train.collate_fn import CommonCollateFn
from torch import nn
from typeguard import typechecked

from espnet_stacodec.data_prep.format_audio import format_set
from espnet_stacodec.data_prep.speed_perturbation import perturb_set
from espnet_stacodec.evaluation.benchmark.files import write_set
from espnet_stacodec.evaluation.benchmark.systems import NUM_TOKENS, SAMPLE_RATE, WIDTH
from espnet_stacodec.evaluation.benchmark.timing import has_bfloat16, side_by_side
from espnet_stacodec.fileio.audio import read_audio
from espnet_stacodec.fileio.markdown import markdown_table
from espnet_stacodec.frames import FrameRule
from espnet_stacodec.gan_codec.builtin import build_builtin_codec
from espnet_stacodec.gan_codec.espnet_model import ESPnetSTACodecModel
from espnet_stacodec.gan_codec.stacodec import STACodec
from espnet_stacodec.iterators.aligned_chunk_iter_factory import AlignedChunkIterFactory
from espnet_stacodec.train.device_check import Figures, LoopOptions
from espnet_stacodec.train.gan_steps import Batch, GANSteps

if TYPE_CHECKING:
    from espnet2.train.gan_trainer import GANTrainerOptions
    from espnet2.train.reporter import SubReporter

CHUNK_SECONDS = 3
UTTERANCES = 50  # that are loaded
SPEEDS = (0.9, 1.0, 1.1)  # of the copies that recipes make
BATCH_SIZE = 32  # of a GPU at full size


@dataclasses.dataclass(frozen=True)
class Size:
    """Sizes that all codecs of a comparison share.

    Attributes:
        width: Arguments of generators that are not the paper's.
        filters: Of the discriminator.
        n_ffts: Of the discriminator.
        has_bottleneck: Whether there is a STACodec of this size with the paper's bottleneck.
    """

    width: Mapping[str, Any]
    filters: int
    n_ffts: Sequence[int]
    has_bottleneck: bool

    @property
    def generator(self) -> dict[str, Any]:
        """Arguments of generators."""
        return WIDTH | dict(self.width)

    @property
    def discriminator(self) -> dict[str, Any]:
        """Arguments of the discriminator."""
        return {
            "filters": self.filters,
            "n_ffts": list(self.n_ffts),
            "hop_lengths": [n // 4 for n in self.n_ffts],
            "win_lengths": list(self.n_ffts),
        }


SIZES = {
    "the paper's": Size({}, 32, (1024, 2048, 512, 256, 128), has_bottleneck=True),
    # conf/train_small.yaml
    "small": Size(
        {"dimension": 64, "n_filters": 8, "lstm_layers": 1}, 4, (1024, 512, 256),
        has_bottleneck=False,
    ),
}  # fmt: skip


class _Trained:
    """A codec that makes the same step again and again."""

    def __init__(self, model: nn.Module, batch: Batch, low: bool = False) -> None:
        codec: Any = model.codec
        optimizers = [
            torch.optim.Adam(part.parameters(), 1e-4)
            for part in (codec.generator, codec.discriminator)
        ]
        self.batch = batch
        self.loop = GANSteps(
            model.train(),
            optimizers,
            [None, None],
            cast("SubReporter", Figures()),
            cast("GANTrainerOptions", LoopOptions()),
            torch.bfloat16 if low else None,
        )

    def __call__(self) -> None:
        list(self.loop.run([self.batch]))


@typechecked
def compare(threads: int, repeats: int, items: int) -> str:
    """Return tables of a step of `items` chunks of 3 s, and of how many chunks are loaded."""
    torch.set_num_threads(threads)
    rows = []
    for name, size in SIZES.items():
        times = side_by_side(_steps(size, items), repeats)
        base = times["ESPnet encodec"]
        rows += [[name, step, f"{t:.2f}", f"{t / base:.2f}"] for step, t in times.items()]
    return (
        markdown_table(["size", f"step of {items} x {CHUNK_SECONDS} s", "seconds", "ratio"], rows)
        + "\n\n"
        + _of_loading()
        + "\n"
    )


def _steps(size: Size, items: int) -> dict[str, _Trained]:
    random = np.random.default_rng(0)
    audio = torch.from_numpy(random.normal(0, 0.1, (items, CHUNK_SECONDS * SAMPLE_RATE)))
    semantic = torch.from_numpy(random.integers(0, NUM_TOKENS, (items, CHUNK_SECONDS * 50)))
    ids, streams = [f"utt{i}" for i in range(items)], {"audio": audio.float()}
    given = (ids, streams | {"semantic": semantic})
    steps = {
        "ESPnet encodec": _Trained(_encodec(size), (ids, streams)),
        "STA without bottleneck": _Trained(_ours(size), given),
        "the same without adversary": _Trained(_ours(size, adversary_start_step=10**6), given),
    }
    if size.has_bottleneck:
        steps["STA"] = _Trained(_ours(size, bottleneck={}), given)
        if has_bfloat16():
            steps["STA in bfloat16"] = _Trained(_ours(size, bottleneck={}), given, low=True)
    return steps


def _ours(size: Size, adversary_start_step: int = 0, **params: Any) -> nn.Module:
    torch.manual_seed(0)
    sizes = size.generator | {"semantic_clusters": NUM_TOKENS} | params
    codec = STACodec(
        SAMPLE_RATE, sizes, size.discriminator, adversary_start_step=adversary_start_step
    )
    return ESPnetSTACodecModel(codec)


def _encodec(size: Size) -> nn.Module:
    width = size.generator
    conf = {
        "sampling_rate": SAMPLE_RATE,
        "generator_params": {
            "hidden_dim": width["dimension"],
            "encdec_n_filters": width["n_filters"],
            "encdec_ratios": width["ratios"],
            "encdec_lstm": width["lstm_layers"],
            "quantizer_n_q": 8,
            "quantizer_bins": 1024,
            "quantizer_target_bandwidth": [4.0],
        },
        "discriminator_params": {"msstft_discriminator_params": size.discriminator},
        "mel_loss_params": {"fs": SAMPLE_RATE, "range_start": 6, "range_end": 11, "n_mels": 64},
        "cache_generator_outputs": True,
    }
    torch.manual_seed(0)
    return ESPnetGANCodecModel(build_builtin_codec("encodec", conf, "benchmark"))


class _Flacs:
    """A data set of FLAC files with tokens, as ESPnet's data sets give their items."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        self.paths = paths

    def __getitem__(self, utt_id: str) -> tuple[str, dict[str, np.ndarray]]:
        audio, _ = read_audio(self.paths[utt_id])
        return utt_id, {"audio": audio, "semantic": np.zeros(-(-len(audio) // 320), np.int64)}


def _of_loading() -> str:
    """Return a table of how fast one process loads chunks, with and without copies of speeds."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_set(folder / "data", UTTERANCES)
        sets = {
            "as it is": format_set(folder / "data", folder / "raw"),
            "with copies of the speeds 0.9 and 1.1": perturb_set(
                folder / "raw", folder / "raw_sp", SPEEDS
            ),
        }
        for audio, data in sets.items():
            rate = _chunks_per_second(_Flacs(data.wav))
            rows.append([audio, f"{rate:.0f}", f"{BATCH_SIZE / rate:.3f}"])
    headings = ["FLAC, one process", f"chunks of {CHUNK_SECONDS} s per second"]
    return markdown_table([*headings, f"seconds for a batch of {BATCH_SIZE}"], rows)


def _chunks_per_second(data: _Flacs) -> float:
    """Return how many chunks a process of the data loader makes in a second."""
    chunks = ChunkIterFactory(
        dataset=data,
        batches=[[utt_id] for utt_id in data.paths],
        batch_size=8,
        chunk_length=str(CHUNK_SECONDS * SAMPLE_RATE),
        chunk_shift_ratio=1.0,
        num_cache_chunks=64,
        shuffle=True,
        discard_short_samples=False,
        collate_fn=CommonCollateFn(float_pad_value=0.0, int_pad_value=-1),
    )
    factory = AlignedChunkIterFactory(chunks, FrameRule(320, SAMPLE_RATE))
    start = time.perf_counter()
    made = sum(len(ids) for ids, _ in factory.build_iter(1))
    return made / (time.perf_counter() - start)

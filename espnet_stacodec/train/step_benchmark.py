"""A training step, and the loading of its chunks, beside ESPnet's encodec of the same width."""

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from espnet2.gan_codec.espnet_model import ESPnetGANCodecModel
from espnet2.iterators.chunk_iter_factory import ChunkIterFactory
from espnet2.train.collate_fn import CommonCollateFn
from torch import nn
from typeguard import typechecked

from espnet_stacodec.evaluation.benchmark.systems import NUM_TOKENS, SAMPLE_RATE, WIDTH
from espnet_stacodec.evaluation.benchmark.timing import has_bfloat16, side_by_side
from espnet_stacodec.fileio.audio import read_audio, write_audio
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
UTTERANCE_SECONDS, UTTERANCES = 12, 50
FFTS = [1024, 2048, 512, 256, 128]
DISCRIMINATOR: dict[str, Any] = {
    "filters": 32,
    "n_ffts": FFTS,
    "hop_lengths": [n // 4 for n in FFTS],
    "win_lengths": FFTS,
}


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
    random = np.random.default_rng(0)
    audio = torch.from_numpy(random.normal(0, 0.1, (items, CHUNK_SECONDS * SAMPLE_RATE)))
    semantic = torch.from_numpy(random.integers(0, NUM_TOKENS, (items, CHUNK_SECONDS * 50)))
    ids, streams = [f"utt{i}" for i in range(items)], {"audio": audio.float()}
    given = (ids, streams | {"semantic": semantic})
    encodec = _encodec()
    steps = {
        "ESPnet encodec": _Trained(encodec, (ids, streams)),
        "STA without bottleneck": _Trained(_ours(), given),
        "the same without adversary": _Trained(_ours(adversary_start_step=10**6), given),
        "STA": _Trained(_ours(bottleneck={}), given),
    }
    if has_bfloat16():
        steps["STA in bfloat16"] = _Trained(_ours(bottleneck={}), given, low=True)
    times = side_by_side(dict(steps), repeats)
    base = times["ESPnet encodec"]
    rows = [[name, f"{t:.2f}", f"{t / base:.2f}"] for name, t in times.items()]
    of_loading = [[f"{_chunks_per_second():.0f}"]]
    return (
        markdown_table([f"step of {items} x {CHUNK_SECONDS} s", "seconds", "ratio"], rows)
        + "\n\n"
        + markdown_table(["chunks per second that one process loads from FLAC"], of_loading)
        + "\n"
    )


def _ours(adversary_start_step: int = 0, **params: Any) -> nn.Module:
    torch.manual_seed(0)
    sizes = WIDTH | {"semantic_clusters": NUM_TOKENS} | params
    codec = STACodec(SAMPLE_RATE, sizes, DISCRIMINATOR, adversary_start_step=adversary_start_step)
    return ESPnetSTACodecModel(codec)


def _encodec() -> nn.Module:
    conf = {
        "sampling_rate": SAMPLE_RATE,
        "generator_params": {
            "hidden_dim": WIDTH["dimension"],
            "encdec_n_filters": WIDTH["n_filters"],
            "encdec_ratios": WIDTH["ratios"],
            "encdec_lstm": WIDTH["lstm_layers"],
            "quantizer_n_q": 8,
            "quantizer_bins": 1024,
            "quantizer_target_bandwidth": [4.0],
        },
        "discriminator_params": {"msstft_discriminator_params": DISCRIMINATOR},
        "mel_loss_params": {"fs": SAMPLE_RATE, "range_start": 6, "range_end": 11, "n_mels": 64},
        "cache_generator_outputs": True,
    }
    torch.manual_seed(0)
    return ESPnetGANCodecModel(build_builtin_codec("encodec", conf, "benchmark"))


class _Flacs:
    """A data set of FLAC files with tokens, as ESPnet's data sets give their items."""

    def __init__(self, folder: Path) -> None:
        self.paths = {f"utt{i}": folder / f"{i}.flac" for i in range(UTTERANCES)}
        random = np.random.default_rng(0)
        for path in self.paths.values():
            wave = random.normal(0, 0.1, UTTERANCE_SECONDS * SAMPLE_RATE)
            write_audio(path, wave.astype(np.float32), SAMPLE_RATE)

    def __getitem__(self, utt_id: str) -> tuple[str, dict[str, np.ndarray]]:
        audio, _ = read_audio(self.paths[utt_id])
        return utt_id, {"audio": audio, "semantic": np.zeros(-(-len(audio) // 320), np.int64)}


def _chunks_per_second() -> float:
    """Return how many chunks a process of the data loader makes in a second."""
    with tempfile.TemporaryDirectory() as folder:
        data = _Flacs(Path(folder))
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

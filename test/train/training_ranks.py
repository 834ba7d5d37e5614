"""Trains one codec in this process, or a part of each batch in one of two gloo processes."""

import contextlib
import dataclasses
import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from espnet2.train.reporter import Reporter
from torch.nn.parallel import DistributedDataParallel

from espnet_stacodec.gan_codec.espnet_model import ESPnetSTACodecModel
from espnet_stacodec.gan_codec.stacodec import STACodec
from espnet_stacodec.train.device_check import LoopOptions
from espnet_stacodec.train.gan_steps import GANSteps

TIMEOUT_SECONDS = 60
Batch = tuple[list[str], dict[str, torch.Tensor]]


@dataclasses.dataclass
class Options(LoopOptions):
    """The options of ESPnet that loop and validation read."""

    seed: int = 1
    num_scored_utts: int = 0


def join(rank: int, ranks: int, folder: Path) -> None:
    """Make this process one of several."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo",
        f"file://{folder}/store",
        rank=rank,
        world_size=ranks,
        timeout=datetime.timedelta(seconds=TIMEOUT_SECONDS),
    )


def run_rank(function: Callable, rank: int, ranks: int, folder: Path, *args: Any) -> None:
    """Run a function in one of several processes."""
    join(rank, ranks, folder)
    function(rank, ranks, folder, *args)
    torch.distributed.destroy_process_group()


def run_ranks(function: Callable, folder: Path, *args: Any, ranks: int = 2) -> None:
    """Run a function in several processes; fails if one fails or hangs."""
    # One process imports ESPnet (10 s) once, and is forked for every rank of every test.
    context = torch.multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["training_ranks"])
    processes = [
        context.Process(target=run_rank, args=(function, rank, ranks, folder, *args), daemon=True)
        for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(2 * TIMEOUT_SECONDS)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert codes == [0] * ranks, f"exit codes of the ranks: {codes}"


def rows_of(batch: dict[str, torch.Tensor], rows: slice) -> dict[str, torch.Tensor]:
    """Return some rows of a batch, padded no more than they need, as a loader would give them."""
    own = {name: values[rows] for name, values in batch.items()}
    if "audio_lengths" not in own:
        return own
    for name in ("audio", "semantic"):
        if name in own:
            own[name] = own[name][:, : int(own[f"{name}_lengths"].max())]
    return own


@contextlib.contextmanager
def in_float64() -> Iterator[None]:
    """Train in float64 in the block, also what the package keeps in float32.

    Rounding does not tell two trainings apart then, however ill-conditioned tiny networks are.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with mock.patch.object(torch.Tensor, "float", torch.Tensor.double):
            yield
    finally:
        torch.set_default_dtype(before)


def _as_default(values: torch.Tensor) -> torch.Tensor:
    return values.to(torch.get_default_dtype()) if values.is_floating_point() else values


def train(
    conf: dict[str, Any],
    batches: list[dict[str, torch.Tensor]],
    options: Options,
    distributed: bool = False,
    # Small: rounding differs, and a training that moves far makes much of it.
    lr: float = 1e-4,
    autocast: torch.dtype | None = None,
) -> tuple[STACodec, list[dict[str, torch.Tensor]], SimpleNamespace]:
    """Train a new codec; return it, the gradients of each turn, and the figures of all steps."""
    torch.manual_seed(0)
    codec = STACodec(**conf)
    model: torch.nn.Module = ESPnetSTACodecModel(codec)
    parts = (codec.generator, codec.discriminator)
    optimizers = [torch.optim.SGD(part.parameters(), lr=lr) for part in parts]
    gradients: list[dict[str, torch.Tensor]] = []

    def keep(optimizer, args, kwargs) -> None:
        gradients.append(
            {n: p.grad.clone() for n, p in codec.named_parameters() if p.grad is not None}
        )

    for optimizer in optimizers:
        optimizer.register_step_pre_hook(keep)
    if distributed:
        model = DistributedDataParallel(model, find_unused_parameters=True)
    model.train()
    torch.manual_seed(1)  # as ESPnet does on every rank before an epoch
    reporter = Reporter(1)
    with reporter.observe("train") as figures:
        steps = GANSteps(model, optimizers, [None, None], figures, options, autocast)
        named = [
            ([f"utt{i}" for i in range(len(b["audio"]))], {n: _as_default(v) for n, v in b.items()})
            for b in batches
        ]
        made = list(steps.run(named))
    assert not getattr(model, "broadcast_buffers", False)  # each rank keeps its own, equal ones
    values = {
        name: float(reporter.get_value("train", name))
        for name in reporter.get_keys2("train")
        if name not in ("time", "total_count")
    }
    return codec, gradients, SimpleNamespace(values=values, made=made)


def train_rank(
    rank: int,
    ranks: int,
    folder: Path,
    conf: dict[str, Any],
    batches: list[dict[str, torch.Tensor]],
    borders: list[int],
    options: Options,
) -> None:
    """Train on this rank's rows of each batch, those between two borders; save what came of it."""
    rows = slice(borders[rank], borders[rank + 1])
    own = [rows_of(batch, rows) for batch in batches]
    with in_float64():
        codec, gradients, figures = train(conf, own, options, distributed=ranks > 1)
    torch.save(
        {"state": codec.state_dict(), "gradients": gradients, "figures": figures.values},
        folder / f"{ranks}.{rank}.pth",
    )

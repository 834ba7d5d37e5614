"""ESPnet's GAN trainer, with a late adversary and objective scores in the log."""

import argparse
import dataclasses
import itertools
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from espnet2.gan_codec.abs_gan_codec import AbsGANCodec
from espnet2.schedulers.abs_scheduler import AbsScheduler
from espnet2.train.distributed_utils import DistributedOption
from espnet2.train.gan_trainer import GANTrainer, GANTrainerOptions
from espnet2.train.reporter import Reporter, SubReporter
from espnet2.utils.build_dataclass import build_dataclass
from torch import nn

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.evaluation import metrics
from espnet_stacodec.train import checkpoint_recovery, learning_rates, weight_average

Batch = tuple[list[str], dict[str, torch.Tensor]]


@dataclasses.dataclass
class STACodecTrainerOptions(GANTrainerOptions):
    """`GANTrainerOptions` and what is added here."""

    num_scored_utts: int
    ema_decay: float


class STACodecTrainer(GANTrainer):
    """Trains generator and discriminator in turns, the latter from a given step on."""

    @classmethod
    def build_options(cls, args: argparse.Namespace) -> STACodecTrainerOptions:
        """Build the options that the trainer reads."""
        return build_dataclass(STACodecTrainerOptions, args)

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add the trainer's options."""
        super().add_arguments(parser)
        parser.add_argument(
            "--num_scored_utts",
            type=int,
            default=8,
            help="PESQ and STOI of this many validation utterances are logged after each epoch",
        )
        parser.add_argument(
            "--ema_decay",
            type=float,
            default=0.0,
            help="Validate and save a moving average of the generator's weights with this decay"
            " per step, e.g. 0.99; 0 for the weights themselves",
        )

    @classmethod
    def run(cls, *, trainer_options: STACodecTrainerOptions, **kwargs) -> None:
        """Train; a checkpoint that a kill left half-written is replaced by the one before it.

        Raises:
            ConfigError: If `ema_decay` is not in [0, 1).
        """
        decay = trainer_options.ema_decay
        if not 0 <= decay < 1:
            raise ConfigError(f"--ema_decay {decay} is not in [0, 1); the published one is 0.99.")
        if decay:
            weight_average.keep_average(kwargs["optimizers"][0], decay)
        if trainer_options.resume and kwargs["distributed_option"].dist_rank in (None, 0):
            checkpoint_recovery.recover(trainer_options.output_dir)
        super().run(trainer_options=trainer_options, **kwargs)

    @staticmethod
    def resume(
        checkpoint: Path | str,
        model: nn.Module,
        reporter: Reporter,
        optimizers: Sequence[torch.optim.Optimizer],
        schedulers: Sequence[AbsScheduler | None],
        **kwargs,
    ) -> None:
        """Load a checkpoint; learning rates end where this training's configuration says."""
        ends = [learning_rates.end_of(scheduler) for scheduler in schedulers]
        GANTrainer.resume(checkpoint, model, reporter, optimizers, schedulers, **kwargs)
        for scheduler, end in zip(schedulers, ends, strict=True):
            learning_rates.move_end(scheduler, end)

    @classmethod
    def train_one_epoch(
        cls,
        *,
        optimizers: Sequence[torch.optim.Optimizer],
        options: STACodecTrainerOptions,
        **kwargs,
    ) -> bool:
        """Train one epoch, of which the average of the weights is left in the model if asked for.

        Returns:
            Whether there was no step with finite gradients.
        """
        weight_average.exchange(optimizers[0])
        if not options.ema_decay:
            weight_average.forget_average(optimizers[0])
        invalid = cls._train_one_epoch(optimizers=optimizers, options=options, **kwargs)
        weight_average.exchange(optimizers[0])
        return invalid

    @classmethod
    def _train_one_epoch(
        cls,
        *,
        model: nn.Module,
        iterator: Iterable[Batch],
        options: GANTrainerOptions,
        **kwargs,
    ) -> bool:
        """Train one epoch; before the adversary's start the discriminator's turn is skipped."""
        codec = _codec(model)
        remaining = getattr(codec, "adversary_start_step", 0) - int(
            getattr(codec, "generator_steps", 0)
        )
        batches = iter(iterator)
        if options.log_interval is None:
            # ESPnet derives it from the iterator's length, which a part of an epoch does not have.
            options = dataclasses.replace(options, log_interval=100)
        invalid = True
        if remaining > 0:
            # A probability of one skips each turn of the discriminator, its optimizer and schedule.
            alone = dataclasses.replace(options, skip_discriminator_prob=1.0)
            first = itertools.islice(batches, remaining)
            invalid = super().train_one_epoch(model=model, iterator=first, options=alone, **kwargs)
        # Also with nothing left: other ranks may have more, and wait for this one to say so.
        rest = super().train_one_epoch(model=model, iterator=batches, options=options, **kwargs)
        return rest and invalid

    @classmethod
    def validate_one_epoch(
        cls,
        *,
        model: nn.Module,
        iterator: Iterable[Batch],
        reporter: SubReporter,
        options: STACodecTrainerOptions,
        distributed_option: DistributedOption,
    ) -> None:
        """Validate, score some utterances, and keep the checkpoint of the epoch before."""
        kept: list[dict[str, torch.Tensor]] = []
        super().validate_one_epoch(
            model=model,
            iterator=_keep_items(iterator, options.num_scored_utts, kept),
            reporter=reporter,
            options=options,
            distributed_option=distributed_option,
        )
        scores = objective_scores(_codec(model), kept)
        if scores:
            reporter.register(scores)
            reporter.next()
        if distributed_option.dist_rank in (None, 0):
            checkpoint_recovery.keep_previous(options.output_dir)


def _codec(model: nn.Module) -> AbsGANCodec:
    """Return the codec inside an ESPnet model, wrapped for data parallelism or not."""
    return cast(AbsGANCodec, getattr(model, "module", model).codec)


def _keep_items(
    iterator: Iterable[Batch], count: int, kept: list[dict[str, torch.Tensor]]
) -> Iterator[Batch]:
    """Pass the batches on, and put the first `count` items, without padding, into `kept`."""
    for ids, batch in iterator:
        names = [name for name in batch if not name.endswith("_lengths")]
        for row in range(min(len(ids), count - len(kept))):
            lengths = {n: batch.get(f"{n}_lengths", [batch[n].shape[1]] * len(ids)) for n in names}
            kept.append({n: batch[n][row : row + 1, : int(lengths[n][row])] for n in names})
        yield ids, batch


@torch.no_grad()
def objective_scores(
    codec: AbsGANCodec, items: Sequence[dict[str, torch.Tensor]]
) -> dict[str, float]:
    """Return the mean PESQ and STOI of items {"audio": (1, N), "semantic": (1, T)}.

    Items for which a metric is not defined (silence, too short) do not count in it.
    """
    device = next(codec.parameters()).device
    values: dict[str, list[float]] = {"pesq": [], "stoi": []}
    for item in items:
        audio = item["audio"].to(device)
        semantic = item["semantic"].to(device) if "semantic" in item else None
        codes = codec.encode(audio.unsqueeze(1), semantic=semantic)
        estimate = codec.decode(codes)[0, 0, : audio.shape[1]].float().cpu().numpy()
        reference = audio[0].float().cpu().numpy()
        values["pesq"].append(metrics.pesq_wb(reference, estimate))
        values["stoi"].append(metrics.stoi_score(reference, estimate))
    defined = {name: [v for v in vs if not math.isnan(v)] for name, vs in values.items()}
    if items and not all(defined.values()):
        logging.warning("No validation utterance could be scored; choose longer ones.")
    return {name: float(np.mean(vs)) for name, vs in defined.items() if vs}

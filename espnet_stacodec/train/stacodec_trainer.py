"""ESPnet's GAN trainer: equal on any number of processes, with objective scores in the log."""

import argparse
import dataclasses
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from espnet2.gan_codec.abs_gan_codec import AbsGANCodec
from espnet2.schedulers.abs_scheduler import AbsScheduler
from espnet2.train.distributed_utils import DistributedOption
from espnet2.train.gan_trainer import GANTrainer, GANTrainerOptions
from espnet2.train.reporter import Reporter, SubReporter
from espnet2.utils.build_dataclass import build_dataclass
from torch import nn

from espnet_stacodec.errors import ConfigError, TrainingError
from espnet_stacodec.evaluation import metrics
from espnet_stacodec.fileio.audio import at_rate
from espnet_stacodec.gan_codec.distributed import barrier, gather_objects
from espnet_stacodec.train import checkpoint_recovery, learning_rates, weight_average
from espnet_stacodec.train.audio_log import log_audio
from espnet_stacodec.train.gan_steps import Batch, GANSteps, codec_of
from espnet_stacodec.train.validation import Validation

SCORES = ("pesq", "stoi")
# Figures of the validation set from the adversary's first step on.
ADVERSARIAL = ("adv_loss", "feat_match_loss", "discriminator_loss", "real_loss", "fake_loss")


@dataclasses.dataclass
class STACodecTrainerOptions(GANTrainerOptions):
    """`GANTrainerOptions` and what is added here."""

    num_scored_utts: int
    audio_log_epochs: int
    ema_decay: float
    # Set from use_amp: ESPnet would scale the loss, which bfloat16 does not need.
    bfloat16: bool = False


class STACodecTrainer(GANTrainer):
    """Trains generator and discriminator in turns, the latter from a given step on."""

    @classmethod
    def build_options(cls, args: argparse.Namespace) -> STACodecTrainerOptions:
        """Build the options that the trainer reads."""
        return build_dataclass(
            STACodecTrainerOptions, argparse.Namespace(bfloat16=False, **vars(args))
        )

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
            "--audio_log_epochs",
            type=int,
            default=5,
            help="Every so many epochs audio and spectrograms of up to 3 of these utterances go to"
            " tensorboard; 0 for never",
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
            ConfigError: If an option has a value that cannot be trained with.
            TrainingError: If the training diverges.
        """
        options = _checked(trainer_options)
        if options.ema_decay:
            weight_average.keep_average(kwargs["optimizers"][0], options.ema_decay)
        if options.resume:
            if kwargs["distributed_option"].dist_rank in (None, 0):
                checkpoint_recovery.recover(options.output_dir)
            # The others look for the checkpoint next.
            barrier()
        super().run(trainer_options=options, **kwargs)

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
        model: nn.Module,
        iterator: Iterable[Batch],
        optimizers: Sequence[torch.optim.Optimizer],
        schedulers: Sequence[AbsScheduler | None],
        scaler: None,
        reporter: SubReporter,
        summary_writer,
        options: STACodecTrainerOptions,
        distributed_option: DistributedOption,
    ) -> bool:
        """Train one epoch, of which the average of the weights is left in the model if asked for.

        Returns:
            False: an epoch without any step that counts raises an error.
        """
        weight_average.exchange(optimizers[0])
        if not options.ema_decay:
            weight_average.forget_average(optimizers[0])
        model.train()
        autocast = torch.bfloat16 if options.bfloat16 else None
        steps = GANSteps(model, optimizers, schedulers, reporter, options, autocast)
        interval = options.log_interval or 100
        for step in steps.run(iterator):
            if step % interval == 0:
                logging.info(reporter.log_message(-interval))
                if summary_writer is not None:
                    reporter.tensorboard_add_scalar(summary_writer, -interval)
                if options.use_wandb:
                    reporter.wandb_log()
        weight_average.exchange(optimizers[0])
        return False

    @classmethod
    @torch.no_grad()
    def validate_one_epoch(
        cls,
        *,
        model: nn.Module,
        iterator: Iterable[Batch],
        reporter: SubReporter,
        options: STACodecTrainerOptions,
        distributed_option: DistributedOption,
    ) -> None:
        """Validate, score some utterances, and keep the checkpoint of the epoch before.

        Each rank validates batches of its own; the figures of all are put together.

        Raises:
            ConfigError: If no figure is called as what the best model is chosen by.
            TrainingError: If what it is chosen by is not finite.
        """
        model.eval()
        validation = Validation(getattr(model, "module", model), options)
        figures, weight, kept = validation.run(iterator)
        if weight:
            reporter.register(figures, weight)
            reporter.next()
        codec = codec_of(model)
        pairs = resynthesize(codec, kept)
        rate = int(codec.meta_info()["fs"])
        scores = objective_scores(pairs, rate)
        if scores:
            reporter.register(scores)
            reporter.next()
        _check_criterion(options, figures)
        for phase, name, _ in options.best_model_criterion:
            value = figures.get(name, scores.get(name, 0.0))
            if phase == "valid" and not math.isfinite(value):
                raise TrainingError(
                    f"epoch {reporter.epoch}: {name} of the validation set is {value}; the training"
                    " has diverged, or validation audio is broken. This epoch is not saved."
                )
        if distributed_option.dist_rank in (None, 0):
            every = options.audio_log_epochs
            if options.use_tensorboard and every and reporter.epoch % every == 0:
                folder = Path(options.output_dir) / "tensorboard" / "valid"
                log_audio(folder, pairs, rate, reporter.epoch)
            checkpoint_recovery.keep_previous(options.output_dir)


def _checked(options: STACodecTrainerOptions) -> STACodecTrainerOptions:
    """Return the options as ESPnet's loop is to read them.

    Raises:
        ConfigError: If one has a value that cannot be trained with.
    """
    if not 0 <= options.ema_decay < 1:
        raise ConfigError(
            f"--ema_decay {options.ema_decay} is not in [0, 1); 0 keeps no average, and the"
            " published one is 0.99."
        )
    if options.train_dtype != "float32":
        raise ConfigError(
            f"--train_dtype {options.train_dtype} is not supported: codebooks are averages over"
            " many steps; for mixed precision (bfloat16) give --use_amp true."
        )
    if options.use_amp and options.ngpu > 0 and not torch.cuda.is_bf16_supported():
        raise ConfigError(
            "--use_amp trains in bfloat16, which this GPU does not have, and float16 is not"
            " supported; leave it out."
        )
    changes = {"use_amp": False, "bfloat16": options.use_amp}
    return dataclasses.replace(options, **changes)


def _check_criterion(options: STACodecTrainerOptions, figures: Mapping[str, float]) -> None:
    """Raise ConfigError where no epoch would be the best one: ESPnet then keeps the last one only.

    Args:
        options: The trainer's.
        figures: Of the validation set, by name; none where nothing was run.
    """
    # Some are not there in every epoch: scores that are not defined, an adversary that starts late.
    known = {*figures, *ADVERSARIAL, *(SCORES if options.num_scored_utts > 0 else ())}
    criteria = options.best_model_criterion
    if figures and not any(phase == "train" or name in known for phase, name, _ in criteria):
        names = ", ".join(f"{phase} {name}" for phase, name, _ in criteria) or "nothing"
        raise ConfigError(
            f"best_model_criterion: no best model can be chosen by {names}; the figures of the"
            f" validation set are {', '.join(sorted(known))}. This epoch is not saved."
        )


def resynthesize(
    codec: AbsGANCodec, items: Sequence[dict[str, torch.Tensor]]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return original and resynthesized samples (N,) of {"audio": (1, N), "semantic": (1, T)}."""
    device = next(codec.parameters()).device
    pairs = []
    for item in items:
        audio = item["audio"].to(device)
        semantic = item["semantic"].to(device) if "semantic" in item else None
        codes = codec.encode(audio.unsqueeze(1), semantic=semantic)
        estimate = codec.decode(codes)[0, 0, : audio.shape[1]].float().cpu().numpy()
        pairs.append((audio[0].float().cpu().numpy(), estimate))
    return pairs


def objective_scores(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], rate: int = metrics.SAMPLE_RATE
) -> dict[str, float]:
    """Return mean PESQ and STOI of all ranks' pairs of original and resynthesized samples (N,).

    Pairs for which a metric is not defined (silence, too short, too long) do not count in it.

    Args:
        pairs: At `rate`; compared at 16 kHz, as all scores are.
        rate: Hz.
    """
    scores = []
    for pair in pairs:
        one, other = (at_rate(wave, rate, metrics.SAMPLE_RATE) for wave in pair)
        scores.append({"pesq": metrics.pesq_wb(one, other), "stoi": metrics.stoi_score(one, other)})
    scores = [score for of_rank in gather_objects(scores).values for score in of_rank]
    defined = {
        name: [score[name] for score in scores if not math.isnan(score[name])] for name in SCORES
    }
    if scores and not all(defined.values()):
        logging.warning(
            "No validation utterance could be scored; choose ones with speech, of 1 to %d s.",
            metrics.LONGEST_PESQ_SECONDS,
        )
    return {name: float(np.mean(values)) for name, values in defined.items() if values}

"""The steps of a GAN training: discriminator and generator in turns, on any number of processes.

ESPnet's loop cannot accumulate gradients, draws on each rank anew whether the discriminator's turn
is skipped, averages every figure in an exchange of its own, and trains on what is not finite unless
gradients are clipped. This loop keeps its options, figures and order of turns. A training of W
ranks with K passes a step equals one of a single process with the whole batch.
"""

import contextlib
import logging
import math
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from espnet2.gan_codec.abs_gan_codec import AbsGANCodec
from espnet2.schedulers.abs_scheduler import AbsBatchStepScheduler, AbsScheduler
from espnet2.torch_utils.device_funcs import to_device
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from espnet_stacodec.errors import ConfigError, TrainingError
from espnet_stacodec.gan_codec.batch_part import BatchPart, BatchSize, divide
from espnet_stacodec.gan_codec.distributed import all_reduce_sum, broadcast_from_first, world_size
from espnet_stacodec.gan_codec.random_state import RandomState
from espnet_stacodec.gan_codec.stacodec import STACodec

if TYPE_CHECKING:  # ESPnet's trainer takes 15 s to import
    from espnet2.train.gan_trainer import GANTrainerOptions
    from espnet2.train.reporter import SubReporter

Streams = dict[str, torch.Tensor]
Batch = tuple[list[str], Streams]

# A training that has made so many steps in a row without finite gradients does not come back.
MAX_STEPS_NOT_FINITE = 100


def codec_of(model: nn.Module) -> AbsGANCodec:
    """Return the codec inside an ESPnet model, wrapped for data parallelism or not."""
    return cast(AbsGANCodec, getattr(model, "module", model).codec)


class GANSteps:
    """Trains a model on the batches of an epoch.

    Args:
        model: An ESPnet GAN codec model, wrapped for data parallelism or not.
        optimizers: Of the generator and the discriminator.
        schedulers: Of the optimizers.
        reporter: Gets the figures of each step, the same on every rank.
        options: ESPnet's.
        autocast: What the networks run in, with mixed precision; None for full precision.

    Raises:
        ConfigError: If options do not go together.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        schedulers: Sequence[AbsScheduler | None],
        reporter: "SubReporter",
        options: "GANTrainerOptions",
        autocast: torch.dtype | None = None,
    ) -> None:
        self.model = model
        self.codec = codec_of(model)
        if isinstance(model, DistributedDataParallel) and isinstance(self.codec, STACodec):
            # This codec's buffers change alike on all ranks: torch's exchange of them in each
            # forward is for nothing. Once an epoch is for devices that round differently.
            model.broadcast_buffers = False
            broadcast_from_first(list(self.codec.buffers()))
        self.optimizers = optimizers
        self.schedulers = schedulers
        self.reporter = reporter
        self.options = options
        self.autocast = autocast
        self.device = "cuda" if options.ngpu > 0 else "cpu"
        self.not_finite = 0
        if options.accum_grad > 1 and (
            options.generator_first or not isinstance(self.codec, STACodec)
        ):
            raise ConfigError(
                f"--accum_grad {options.accum_grad} goes with the codec 'stacodec' and without"
                " --generator_first; set it to 1."
            )
        if options.grad_noise:
            raise ConfigError("--grad_noise does not go with a codec's training; leave it out.")

    def run(self, iterator: Iterable[Batch]) -> Iterator[int]:
        """Train on all batches, and yield the number of each step after it was made.

        All ranks end together, as soon as one of them has no batches left.

        Raises:
            TrainingError: If too many steps in a row, or all steps, had no finite gradients.
        """
        batches = iter(iterator)
        finite_steps = step = 0
        start = time.perf_counter()
        while (own := self._next(batches)) is not None:
            step += 1
            self.reporter.register({"iter_time": time.perf_counter() - start})
            finite = self._step(step, *own)
            finite_steps += finite
            self.not_finite = 0 if finite else self.not_finite + 1
            if self.not_finite >= MAX_STEPS_NOT_FINITE:
                raise self._diverged(f"the last {self.not_finite} steps")
            self.reporter.register({"train_time": time.perf_counter() - start})
            self.reporter.next()
            yield step
            start = time.perf_counter()
        if step and not finite_steps:
            raise self._diverged(f"none of the {step} steps")

    def _next(self, batches: Iterator[Batch]) -> tuple[list[Streams], list[BatchPart]] | None:
        """Return the batches of a step's passes, and the parts they are of its whole batch."""
        own: list[Streams] = []
        sizes: list[BatchSize] = []
        passes = self.options.accum_grad
        for ids, streams in batches:
            own.append(streams)
            if isinstance(self.codec, STACodec):
                sizes.append(self.codec.measure(**streams))
            else:
                sizes.append(BatchSize(len(ids), 0, 0, 0))
            if len(own) == passes:
                break
        parts = divide(sizes, passes)
        if parts is None:
            return None
        return [to_device(streams, self.device) for streams in own], parts

    def _step(self, step: int, batches: list[Streams], parts: list[BatchPart]) -> bool:
        """Take both turns; return whether the gradients of all turns were finite."""
        if self.options.no_forward_run:
            return True
        turns = ["discriminator", "generator"]
        if self.options.generator_first:
            turns.reverse()
        several = len(batches) > 1
        if several and isinstance(self.codec, STACodec):
            self._prepare(batches, parts, norms=False)
        randomness = RandomState(self.device) if several else None
        finite = True
        for turn in turns:
            if turn == "discriminator" and self._skips_discriminator(step):
                self.codec._cache = None
                continue
            if turn == "generator" and randomness is not None and isinstance(self.codec, STACodec):
                randomness.restore()  # as the passes of the turn begin
                self._prepare(batches, parts, norms=True)
            finite &= self._turn(turn, batches, parts, randomness)
        return finite

    def _prepare(self, batches: list[Streams], parts: list[BatchPart], norms: bool) -> None:
        assert isinstance(self.codec, STACodec)
        state = RandomState(self.device)
        with self._autocast():
            self.codec.prepare(batches, parts, norms)
        state.restore()

    def _skips_discriminator(self, step: int) -> bool:
        """Decide for all ranks alike, and alike in a resumed training."""
        if not getattr(self.codec, "adversary_active", True):
            return True
        draw = random.Random(f"{self.options.seed} {self.reporter.epoch} {step}").random()
        return draw < self.options.skip_discriminator_prob

    def _turn(
        self,
        turn: str,
        batches: list[Streams],
        parts: list[BatchPart],
        randomness: RandomState | None,
    ) -> bool:
        """Take a turn of one network; return whether its gradients were finite."""
        start = time.perf_counter()
        times = {f"{turn}_forward_time": 0.0, f"{turn}_backward_time": 0.0}
        figures: dict[str, torch.Tensor] = {}
        index = 0
        for streams, part in zip(batches, parts, strict=True):
            if randomness is not None:
                randomness.restore()
            begin = time.perf_counter()
            with self._without_exchange(part):
                with self._autocast():
                    result = self._forward(turn, streams, part)
                index = result["optim_idx"]
                for name, value in result["stats"].items():
                    if value is not None:
                        share = part.share_of_items * value.detach().float().mean()
                        figures[name] = figures.get(name, torch.zeros_like(share)) + share
                middle = time.perf_counter()
                # Data parallelism divides the sum of gradients by the number of ranks.
                scale = part.share_of_items * world_size()
                (result["loss"].float().mean() * scale).backward()
            times[f"{turn}_forward_time"] += middle - begin
            times[f"{turn}_backward_time"] += time.perf_counter() - middle
        finite = self._update(turn, index, figures, parts[0].whole.items)
        self.reporter.register(times)
        rates = enumerate(self.optimizers[index].param_groups)
        self.reporter.register({f"optim{index}_lr{i}": group["lr"] for i, group in rates})
        self.reporter.register({f"{turn}_train_time": time.perf_counter() - start})
        return finite

    def _forward(self, turn: str, streams: Streams, part: BatchPart) -> dict[str, Any]:
        options = {"part": part} if isinstance(self.codec, STACodec) else {}
        return self.model(forward_generator=turn == "generator", **streams, **options)

    def _update(self, turn: str, index: int, figures: dict[str, torch.Tensor], items: int) -> bool:
        """Report the turn's figures, and make its optimizer's step if the gradients are finite."""
        optimizer, scheduler = self.optimizers[index], self.schedulers[index]
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        norm = nn.utils.get_total_norm(gradients, self.options.grad_clip_type)
        values = torch.stack([figures[name] for name in sorted(figures)])
        all_reduce_sum(values)
        # The one time that the host waits for the device in a turn.
        *means, norm_value = torch.cat([values, norm.float().reshape(1)]).tolist()
        self.reporter.register(dict(zip(sorted(figures), means, strict=True)), items)
        start = time.perf_counter()
        finite = math.isfinite(norm_value)
        if finite:
            if self.options.grad_clip > 0:
                nn.utils.clip_grads_with_norm_(weights, self.options.grad_clip, norm)
            optimizer.step()
            if isinstance(scheduler, AbsBatchStepScheduler):
                scheduler.step()
        else:
            logging.warning("The %s's gradients are %s: this step is skipped.", turn, norm_value)
        for each in self.optimizers:
            each.zero_grad()
        self.reporter.register({f"{turn}_optim_step_time": time.perf_counter() - start})
        return finite

    def _autocast(self) -> contextlib.AbstractContextManager:
        if self.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device, self.autocast)

    def _without_exchange(self, part: BatchPart) -> contextlib.AbstractContextManager:
        """Let gradients of all passes but the last be added up on each rank alone."""
        if isinstance(self.model, DistributedDataParallel) and not part.is_last:
            return self.model.no_sync()
        return contextlib.nullcontext()

    def _diverged(self, steps: str) -> TrainingError:
        return TrainingError(
            f"epoch {self.reporter.epoch}: {steps} had finite gradients; the training has diverged"
            " and is ended, and this epoch is not saved. Look for broken audio in the training set,"
            " or lower the learning rate (optim_conf: lr, scheduler_conf: max_lr)."
        )

"""Where a cosine learning rate ends, when a training is resumed for longer than it was started.

ESPnet's checkpoint brings back the length that the training was started with, and the learning
rate would begin again there. The configuration that a training is resumed with decides instead.
"""

import logging

from espnet2.schedulers.abs_scheduler import AbsScheduler
from espnet2.schedulers.cosine_anneal_warmup_restart import CosineAnnealingWarmupRestarts


def end_of(scheduler: AbsScheduler | None) -> int | None:
    """Return the length (steps) of the one cycle of a cosine schedule; None for other schedules."""
    if not isinstance(scheduler, CosineAnnealingWarmupRestarts):
        return None
    return scheduler.first_cycle_steps if scheduler.cycle_mult == scheduler.gamma == 1 else None


def move_end(scheduler: AbsScheduler | None, end: int | None) -> None:
    """Stretch or shorten a cosine schedule to `end` steps, and say so in the log.

    A schedule that has already passed `end` is left as it is.
    """
    if end is None or not isinstance(scheduler, CosineAnnealingWarmupRestarts):
        return
    before, done = scheduler.first_cycle_steps, scheduler.last_epoch
    if before == end or done >= end:
        return
    scheduler.first_cycle_steps = end
    scheduler.step(done)  # ESPnet's own way to a step of a schedule
    (rate,) = {group["lr"] for group in scheduler.optimizer.param_groups}
    logging.warning(
        "The learning rate ends after %d steps, not after %d as when this training was started:"
        " it goes on from step %d with %.3g.",
        end,
        before,
        done,
        rate,
    )

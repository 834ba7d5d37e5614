"""How many epochs, of how many steps, make a training of given minutes or steps.

The first steps of a training are run and timed once; what was found is kept in the experiment, so
that a training that is resumed, or asked to be longer, goes on with epochs of the same length.
"""

import contextlib
import dataclasses
import functools
import logging
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import yaml
from espnet2.train.reporter import Reporter
from typeguard import typechecked

from espnet_stacodec.config import load_yaml
from espnet_stacodec.errors import ConfigError, StageError
from espnet_stacodec.fileio.files import write_text
from espnet_stacodec.fileio.temporaries import exclusive
from espnet_stacodec.train import checkpoint_recovery

NAME = "length.yaml"
MEASURED_STEPS = 10  # the second ten are timed
# An epoch, after which a killed training can go on, takes a tenth of the training at most ...
EPOCHS = 10
MAX_EPOCH_SECONDS = 600.0
# ... but what follows its steps, such as validation, no more than a tenth of the epoch.
MAX_PAUSE_SHARE = 0.1
MAX_WARMUP_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class Speed:
    """What a training takes on this machine.

    Attributes:
        step_seconds: A step without the adversary.
        late_step_seconds: A step from `adversary_start` on; None where it was not reached.
        adversary_start: Step at which the adversary starts.
        pause_seconds: Between the steps of two epochs: validation, plots, saving, start of readers.
        warmup_steps: Of the learning rates' schedules, by option: scheduler_conf, scheduler2_conf.
    """

    step_seconds: float
    late_step_seconds: float | None
    adversary_start: int
    pause_seconds: float
    warmup_steps: dict[str, int]

    def seconds(self, steps: int, epochs: int) -> float:
        """Return how long a training takes."""
        early = min(steps, self.adversary_start)
        late = steps - early
        training = early * self.step_seconds + late * self._late_step_seconds
        return training + epochs * self.pause_seconds

    def steps(self, seconds: float) -> int:
        """Return how many steps are made in some seconds, without validation."""
        early = min(seconds / self.step_seconds, self.adversary_start)
        late = (seconds - early * self.step_seconds) / self._late_step_seconds
        return int(early + late)

    @property
    def _late_step_seconds(self) -> float:
        return self.step_seconds if self.late_step_seconds is None else self.late_step_seconds


@dataclasses.dataclass(frozen=True)
class Length:
    """The length of a training.

    Attributes:
        steps_per_epoch: Steps of an epoch.
        epochs: How many there are.
    """

    steps_per_epoch: int
    epochs: int

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self.steps_per_epoch * self.epochs

    def options(self, warmup_steps: dict[str, int]) -> list[str]:
        """Return the options of `bin.train`; warm-ups become a tenth of the training at most."""
        longest = max(1, int(self.steps * MAX_WARMUP_SHARE))
        shortened = [
            word
            for option, steps in warmup_steps.items()
            if steps > longest
            for word in (f"--{option}", f"warmup_steps={longest}")
        ]
        epochs = ["--steps_per_epoch", str(self.steps_per_epoch), "--max_epoch", str(self.epochs)]
        return epochs + shortened


def fit(
    speed: Speed,
    minutes: float | None = None,
    steps: int | None = None,
    steps_per_epoch: int | None = None,
) -> Length:
    """Return the length of a training of some minutes, or of at least some steps.

    Args:
        speed: What it takes.
        minutes: Of training and validation.
        steps: Instead of minutes.
        steps_per_epoch: As an earlier call found it, to go on with.

    Raises:
        ConfigError: If not exactly one of minutes and steps is given, or it is not positive.
    """
    if (minutes is None) == (steps is None):
        raise ConfigError("Give --train_minutes or --train_steps, not both.")
    given = minutes if steps is None else steps
    assert given is not None
    if not 0 < given < math.inf:
        raise ConfigError(f"A training of {given:g} minutes or steps is none; give more than 0.")
    total = 60 * minutes if minutes is not None else speed.seconds(int(given), epochs=0)
    if steps_per_epoch is not None:
        return Length(steps_per_epoch, _epochs(speed, total, steps, steps_per_epoch))
    epoch_seconds = max(
        min(total / EPOCHS, MAX_EPOCH_SECONDS), speed.pause_seconds / MAX_PAUSE_SHARE
    )
    epochs = max(1, int(total / epoch_seconds))
    if steps is None:
        steps = speed.steps(total - epochs * speed.pause_seconds)
        return Length(max(1, steps // epochs), epochs)
    epochs = min(epochs, steps)
    return Length(math.ceil(steps / epochs), epochs)


def _epochs(speed: Speed, total: float, steps: int | None, steps_per_epoch: int) -> int:
    """Return how many epochs of given length there are in some steps, or in `total` seconds."""
    if steps is not None:
        return math.ceil(steps / steps_per_epoch)
    epochs = 1
    while speed.seconds((epochs + 1) * steps_per_epoch, epochs + 1) <= total:
        epochs += 1
    return epochs


@typechecked
def plan(
    experiment: Path | str,
    train_options: Sequence[str],
    minutes: float | None = None,
    steps: int | None = None,
) -> list[str]:
    """Return the options of `bin.train` that make a training of some minutes or steps.

    Args:
        experiment: The experiment's folder, which keeps what was measured.
        train_options: The other options of `bin.train`, but for --output_dir.
        minutes: How long it is to be.
        steps: Or how many steps it has at least.

    Raises:
        ConfigError: If not exactly one of minutes and steps is given, or it is not positive.
        StageError: If the steps that are measured fail, or another command is training there.
    """
    experiment = Path(experiment)
    # Two would remove each other's steps; what a training has begun with stays as it is.
    with exclusive(experiment, wait=False):
        return _plan(experiment, train_options, minutes, steps)


def _plan(
    experiment: Path, train_options: Sequence[str], minutes: float | None, steps: int | None
) -> list[str]:
    """Plan it, alone in the experiment's folder."""
    asked = {"minutes": minutes} if steps is None else {"steps": steps}
    known = load_yaml(experiment / NAME) if (experiment / NAME).exists() else None
    if known is not None and known["asked"] == asked:
        speed, length = Speed(**known["speed"]), Length(**known["length"])
    else:
        steps_per_epoch = None if known is None else known["length"]["steps_per_epoch"]
        fit_it = functools.partial(
            fit, minutes=minutes, steps=steps, steps_per_epoch=steps_per_epoch
        )
        fit_it(Speed(1, 1, 0, 1, {}))  # refuses what it cannot make before anything is timed
        speed = measure(experiment, train_options) if known is None else Speed(**known["speed"])
        length = fit_it(speed)
        if speed.late_step_seconds is None and length.steps > speed.adversary_start:
            speed = with_adversary(speed, experiment, train_options)
            length = fit_it(speed)
    content = {
        "asked": asked,
        "length": dataclasses.asdict(length),
        "speed": dataclasses.asdict(speed),
    }
    write_text(experiment / NAME, yaml.safe_dump(content, sort_keys=False))
    logging.info(
        "%s: %d steps, %d epochs of %d, about %.1f min on this machine (%.3f s a step, %.1f s"
        " between epochs)",
        experiment, length.steps, length.epochs, length.steps_per_epoch,
        speed.seconds(length.steps, length.epochs) / 60,
        speed.step_seconds, speed.pause_seconds
    )  # fmt: skip
    return length.options(speed.warmup_steps)


def measure(experiment: Path, train_options: Sequence[str]) -> Speed:
    """Time a few steps and what follows the steps of an epoch.

    Raises:
        StageError: If they fail.
    """
    with _measured_training(experiment, train_options) as folder:
        config = load_yaml(folder / "config.yaml")
        step, pause = _times(folder)
    start = config["codec_conf"].get("adversary_start_step", 0)
    warmups = {
        option: config[option]["warmup_steps"]
        for option in ("scheduler_conf", "scheduler2_conf")
        if "warmup_steps" in (config.get(option) or {})
    }
    if start <= MEASURED_STEPS:  # it was there in the epoch that was timed
        return Speed(step, step, 0, pause, warmups)
    return Speed(step, None, start, pause, warmups)


def with_adversary(speed: Speed, experiment: Path, train_options: Sequence[str]) -> Speed:
    """Return what is known of a training's speed, and the time of a step with the adversary."""
    now = [*train_options, "--codec_conf", "adversary_start_step=0"]
    with _measured_training(experiment, now) as folder:
        late, _ = _times(folder)
    return dataclasses.replace(speed, late_step_seconds=late)


@contextlib.contextmanager
def _measured_training(experiment: Path, train_options: Sequence[str]) -> Iterator[Path]:
    """Run a training of two short epochs; yield its folder, which is removed afterwards."""
    folder = experiment / ".measure"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # Nothing is learned in so few steps: no schedule is needed, and none would fit.
    length = ["--max_epoch", "2", "--steps_per_epoch", str(MEASURED_STEPS), "--resume", "false"]
    rates = ["--scheduler", "none", "--scheduler2", "none"]
    command = [sys.executable, "-m", "espnet_stacodec.bin.train", *train_options]
    command += ["--output_dir", str(folder), *length, *rates]
    logging.info("%s: timing %d steps", experiment, 2 * MEASURED_STEPS)
    try:
        log = folder / "train.log"
        with log.open("wb") as file:
            status = subprocess.run(command, stdout=file, stderr=file).returncode
        if status:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            reason = lines[-1] if lines else f"status {status}"
            raise StageError(f"{experiment}: the first steps, to be timed, failed: {reason}")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _times(folder: Path) -> tuple[float, float]:
    """Return the seconds of a step, and of all but the steps, in the second epoch of a training."""
    first, second = folder / checkpoint_recovery.PREVIOUS, folder / checkpoint_recovery.CURRENT
    state = torch.load(second, map_location="cpu", weights_only=True)
    reporter = Reporter()
    reporter.load_state_dict(state["reporter"])
    steps = reporter.stats[reporter.get_epoch()]["train"]["time"].total_seconds()
    epoch = second.stat().st_mtime - first.stat().st_mtime  # from one saved state to the next
    return steps / MEASURED_STEPS, max(0.0, epoch - steps)

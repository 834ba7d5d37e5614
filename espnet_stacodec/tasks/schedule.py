"""How long a training is, in steps, and learning rates that end with it.

An epoch has a fixed number of steps, given or derived from the lengths of the training utterances:
the same on any number of GPUs, and known before the training starts.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from espnet2.fileio.read_text import read_2columns_text
from espnet2.tasks.abs_task import optim_classes, scheduler_classes

from espnet_stacodec.config import choose
from espnet_stacodec.errors import ConfigError, DataError
from espnet_stacodec.frames import FrameRule
from espnet_stacodec.iterators.aligned_chunk_iter_factory import (
    expected_chunks,
    parse_chunk_lengths,
)

# Schedules of ESPnet that begin again, rise or stop at the end of a length: its option, its unit.
LENGTHS = {
    "cosineannealingwarmuprestarts": ("first_cycle_steps", "steps"),
    "onecyclelr": ("total_steps", "steps"),
    "cosineannealinglr": ("T_max", "epochs"),
}
# With one of these, a schedule shorter than the training is meant to begin again.
MEANT_TO_RESTART = ("cycle_mult", "gamma")
OPTIMIZATION = ("optim_conf", "optim2_conf", "scheduler_conf", "scheduler2_conf")
# Hexadecimal digits, some of which look like one.
NO_NUMBERS = ("semantic_fingerprint", "fingerprint", "revision", "sha256")


def batches_per_epoch(args: argparse.Namespace) -> int:
    """Return the number of batches (of all GPUs together) of an epoch; whole steps.

    They are those of `--steps_per_epoch`, or what the training utterances give.

    Raises:
        ConfigError: If the training utterances' lengths are not given, or the steps not positive.
        DataError: If a length is not a number.
    """
    if args.steps_per_epoch is not None:
        if args.steps_per_epoch < 1:
            raise ConfigError(f"--steps_per_epoch {args.steps_per_epoch} is less than one step.")
        return args.steps_per_epoch * args.accum_grad
    if not args.train_shape_file:
        raise ConfigError(
            "--train_shape_file is not given: the steps of an epoch are derived from the lengths"
            " in it; give the audio_shape of the statistics (recipe stage 4)."
        )
    lengths = _read_lengths(args.train_shape_file[0])
    rule = FrameRule(args.frame_shift, args.fs)
    widths = [length // rule.hop_samples for length in parse_chunk_lengths(args.chunk_length)]
    chunks = sum(
        expected_chunks(rule.num_frames(length), widths, args.chunk_shift_ratio)
        for length in lengths
    )
    if args.num_iters_per_epoch is not None:  # counts utterances where chunks are cut
        chunks *= args.num_iters_per_epoch / len(lengths)
    steps = round(chunks / (args.batch_size * args.accum_grad))
    return max(1, steps) * args.accum_grad


def check_numbers(args: argparse.Namespace, keys: Sequence[str] = OPTIMIZATION) -> None:
    """Raise ConfigError for numbers in the mappings `keys` that YAML reads as text: 1e-3."""
    for key in keys:
        for name, value in _texts(getattr(args, key) or {}):
            if name not in NO_NUMBERS and _is_number(value):
                raise ConfigError(
                    f"{key}: {name} {value} is text in YAML, which wants a point in numbers with an"
                    f" exponent; write {float(value)!r} or {float(value):.1e}."
                )


def _texts(conf: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the texts in a mapping, in mappings and lists of it too, each with its name."""
    for name, value in conf.items():
        if isinstance(value, Mapping):
            yield from _texts(value)
        for item in value if isinstance(value, list | tuple) else [value]:
            if isinstance(item, str):
                yield name, item


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def fit_schedules(args: argparse.Namespace) -> None:
    """Let the learning rates of `args` end with the training.

    A length that is not given becomes that of the training: `--max_epoch` epochs.

    Raises:
        ConfigError: If a given length is shorter than the training, or a warm-up is not.
    """
    for suffix in ("", "2"):
        name = (getattr(args, f"scheduler{suffix}") or "").lower()
        if name not in LENGTHS:
            continue
        option, unit = LENGTHS[name]
        conf = dict(getattr(args, f"scheduler{suffix}_conf"))
        where = f"scheduler{suffix}_conf"
        if name == "onecyclelr" and "total_steps" not in conf and "epochs" in conf:
            continue  # torch's other way of saying it
        total = args.max_epoch
        if unit == "steps":
            total *= batches_per_epoch(args) // args.accum_grad
        given = conf.setdefault(option, total)
        if given < total and not set(MEANT_TO_RESTART) & set(conf):
            raise ConfigError(
                f"{where}: {option} {given} is less than the {total} {unit} of this training, and"
                " the learning rate would begin again; leave it out, and it is derived, or lower"
                f" --max_epoch {args.max_epoch}."
            )
        if conf.get("warmup_steps", 0) >= conf[option]:
            raise ConfigError(
                f"{where}: warmup_steps {conf['warmup_steps']} is not below the {conf[option]}"
                f" {unit} of the schedule; lower it, or train longer."
            )
        setattr(args, where, conf)


def check_optimization(args: argparse.Namespace) -> None:
    """Build optimizers and schedules for a single weight, as ESPnet builds those of the model.

    Raises:
        ConfigError: If one is unknown, or cannot be built with its options.
    """
    for suffix in ("", "2"):
        weight = torch.nn.Parameter(torch.zeros(1))
        name, schedule = getattr(args, f"optim{suffix}"), getattr(args, f"scheduler{suffix}")
        optimizer = _built(optim_classes, name, f"optim{suffix}", args, [weight])
        if schedule is not None:
            _built(scheduler_classes, schedule, f"scheduler{suffix}", args, optimizer)


def _built(
    classes: Mapping[str, Any], name: str, option: str, args: argparse.Namespace, of: Any
) -> Any:
    conf = getattr(args, f"{option}_conf")
    try:
        return choose(classes, name, option)(of, **conf)
    except (ArithmeticError, AssertionError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{option} '{name}' cannot be built with {option}_conf {conf}"
            f" ({type(error).__name__}: {error})."
        ) from error


def _read_lengths(shape_file: str) -> Sequence[int]:
    """Return the first number of each shape in a file of lines `utterance N[,...]`."""
    try:
        return [int(shape.split(",")[0]) for shape in read_2columns_text(shape_file).values()]
    except ValueError as error:
        raise DataError(
            f"{shape_file}: a shape is no number ({error}); collect the statistics again (stage 4)."
        ) from error

"""Numbers and mappings of ESPnet's training options that no training can have.

ESPnet takes them as they are: what goes wrong then is an assertion in one of its classes, or a
training that does nothing. They are checked before anything is built or written.
"""

import argparse
from collections.abc import Mapping

from espnet2.utils.types import int_or_none, str2bool

from espnet_stacodec.config import check_positive, check_range
from espnet_stacodec.errors import ConfigError

WHERE = "train_config"
LARGEST_SEED = 2**32 - 1
# From which number on each option has a meaning.
LOWEST = {
    "batch_size": 1,
    "valid_batch_size": 1,
    "accum_grad": 1,
    "max_epoch": 1,
    "num_cache_chunks": 0,
    "num_iters_per_epoch": 1,
    "num_workers": 0,
    "num_scored_utts": 0,
    "audio_log_epochs": 0,
}
MAPPINGS = (
    "codec_conf",
    "augmentation_conf",
    "optim_conf",
    "optim2_conf",
    "scheduler_conf",
    "scheduler2_conf",
)


# By an option's declared type: what its value is, and what a sentence says of another one.
KINDS = {
    int: (int, "no whole number"),
    int_or_none: (int | None, "no whole number"),
    float: (int | float, "no number"),
    str2bool: (bool, "neither true nor false"),
}


def check_options(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Raise ConfigError for an option of ESPnet's, or of the trainer's, that is out of its range.

    A mapping that is `null` becomes an empty one.

    Args:
        args: The options of a training.
        parser: That of the task, which declares their types and choices.
    """
    _check_declared(args, parser)
    for name in MAPPINGS:
        _check_mapping(name, getattr(args, name))
        if getattr(args, name) is None:
            setattr(args, name, {})
    for name in ("generator_params", "discriminator_params"):
        _check_mapping(f"codec_conf.{name}", args.codec_conf.get(name))
    for name, lowest in LOWEST.items():
        check_range(WHERE, lowest, **{name: getattr(args, name)})
    check_range(WHERE, 0, LARGEST_SEED, seed=args.seed)
    for phase, name, mode in args.best_model_criterion:
        if phase not in ("train", "valid") or mode not in ("min", "max"):
            raise ConfigError(
                f"{WHERE}: best_model_criterion [{phase}, {name}, {mode}] is not [train or valid,"
                " a figure, min or max]."
            )
    check_positive(WHERE, chunk_shift_ratio=args.chunk_shift_ratio)


def _check_declared(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Raise ConfigError for a value of a YAML file that the command line would not take.

    argparse checks what is typed, but not defaults, which is what ESPnet makes of a file's values.
    """
    for action in parser._actions:
        value = getattr(args, action.dest, action.default)
        if type(value) is type(action.default) and value == action.default:
            continue  # which need not be among the choices
        if action.choices is not None and value not in action.choices:
            known = ", ".join(map(str, action.choices))
            raise ConfigError(f"{WHERE}: {action.dest} {value!r} is unknown; known are {known}.")
        if action.nargs is None and action.type in KINDS:
            kind, otherwise = KINDS[action.type]
            # A truth value is an int for Python.
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                raise ConfigError(f"{WHERE}: {action.dest} {value!r} is {otherwise}.")


def _check_mapping(name: str, value: object) -> None:
    if not isinstance(value, Mapping | None):
        raise ConfigError(f"{name}: {value!r} is no mapping; give keys and values.")

"""Numbers and mappings of ESPnet's training options that no training can have.

ESPnet takes them as they are: what goes wrong then is an assertion in one of its classes, or a
training that does nothing. They are checked before anything is built or written.
"""

import argparse
from collections.abc import Mapping

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


def check_options(args: argparse.Namespace) -> None:
    """Raise ConfigError for an option of ESPnet's, or of the trainer's, that is out of its range.

    A mapping that is `null` becomes an empty one.
    """
    for name in MAPPINGS:
        _check_mapping(name, getattr(args, name))
        if getattr(args, name) is None:
            setattr(args, name, {})
    for name in ("generator_params", "discriminator_params"):
        _check_mapping(f"codec_conf.{name}", args.codec_conf.get(name))
    for name, lowest in LOWEST.items():
        value = getattr(args, name)
        if value is None and name in ("valid_batch_size", "num_iters_per_epoch"):
            continue  # ESPnet's null: as batch_size, and all utterances
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigError(f"{WHERE}: {name} {value!r} is no whole number.")
        check_range(WHERE, lowest, **{name: value})
    check_range(WHERE, 0, LARGEST_SEED, seed=args.seed)
    for phase, name, mode in args.best_model_criterion:
        if phase not in ("train", "valid") or mode not in ("min", "max"):
            raise ConfigError(
                f"{WHERE}: best_model_criterion [{phase}, {name}, {mode}] is not [train or valid,"
                " a figure, min or max]."
            )
    check_positive(WHERE, chunk_shift_ratio=args.chunk_shift_ratio)


def _check_mapping(name: str, value: object) -> None:
    if not isinstance(value, Mapping | None):
        raise ConfigError(f"{name}: {value!r} is no mapping; give keys and values.")

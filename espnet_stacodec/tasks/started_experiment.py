"""A started experiment goes on as it began: another model, task or data is another experiment.

ESPnet writes config.yaml before it loads the checkpoint. Without this check an edited
configuration would replace the one that belongs to the finished weights.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from espnet_stacodec.config import load_yaml
from espnet_stacodec.errors import ConfigError
from espnet_stacodec.pretrained.experiment import CONFIG_NAME

# The network of a codec, or of a task that reads codes.
PARTS = ("codec", "frontend", "normalize", "preencoder", "encoder", "postencoder", "decoder")
# It, the data, and what the saved states of the optimizers belong to. All others may change:
# max_epoch, batch_size, num_workers, log_interval, learning rates, ...
FIXED_KEYS = (
    *(key for part in PARTS for key in (part, f"{part}_conf")),
    "model",
    "ctc_conf",
    "joint_net_conf",
    "input_size",
    "iterator_type",
    "chunk_length",
    "train_data_path_and_name_and_type",
    "train_shape_file",
    "valid_data_path_and_name_and_type",
    "valid_shape_file",
    "optim",
    "optim2",
    "scheduler",
    "scheduler2",
)
MAY_CHANGE = "max_epoch, batch_size, num_workers, log_interval, optim_conf and the like"


def check_started(args: argparse.Namespace, completed: Mapping[str, Any]) -> None:
    """Compare a training's options with those that its experiment was started with.

    Args:
        args: ESPnet's options.
        completed: Those of them that more is added to than was given, as config.yaml has them.

    Raises:
        ConfigError: If weights are there, and a key that they depend on has another value.
    """
    folder = Path(args.output_dir)
    config = folder / CONFIG_NAME
    if not config.exists() or not any(folder.glob("*.pth")):
        return
    there = load_yaml(config)
    now = vars(args) | dict(completed)
    differences = [
        f"{name} ({_shown(before)} there, {_shown(after)} now)"
        for key in FIXED_KEYS
        for name, before, after in _differences(key, there.get(key), now.get(key))
    ]
    if differences:
        raise ConfigError(
            f"{folder}: this experiment was started with another {', another '.join(differences)};"
            f" train under another --tag (or --output_dir). Only {MAY_CHANGE} may change."
        )


def _differences(name: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield (key, value there, value now) of the innermost mappings' keys that differ."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            yield from _differences(f"{name}.{key}", before.get(key), after.get(key))
    # YAML knows no tuples.
    elif json.dumps(before, default=str) != json.dumps(after, default=str):
        yield name, before, after


def _shown(value: Any) -> str:
    """Return a value as a message shows it."""
    return "not set" if value is None else json.dumps(value, default=str)

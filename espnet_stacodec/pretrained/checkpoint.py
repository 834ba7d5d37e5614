"""A trained generator from its configuration and an ESPnet checkpoint."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from espnet_stacodec.config import construct
from espnet_stacodec.errors import ModelError
from espnet_stacodec.gan_codec.builtin import BuiltinGenerator, build_builtin_codec
from espnet_stacodec.gan_codec.generator import STACodecGenerator

# Where codec and generator are in an ESPnet model.
CODEC_PREFIX = "codec."
GENERATOR_PREFIX = "codec.generator."
# What torch raises for files that are cut off, of another kind, or of another model.
UNREADABLE = (
    AttributeError,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    ValueError,
    pickle.UnpicklingError,
)


def load_generator(
    codec_conf: Mapping[str, Any], model_file: Path, where: str
) -> STACodecGenerator:
    """Build a generator and load its part of an ESPnet checkpoint.

    Args:
        codec_conf: Arguments of `STACodec`.
        model_file: The checkpoint.
        where: Named in errors about the configuration.

    Raises:
        ModelError: If the file is not a checkpoint, or its names or shapes do not fit.
    """
    generator = build_generator(codec_conf, where)
    _load_part(generator, GENERATOR_PREFIX, model_file)
    return generator


def build_generator(codec_conf: Mapping[str, Any], where: str) -> STACodecGenerator:
    """Build an untrained generator; arguments as for `load_generator`."""
    return construct(
        STACodecGenerator,
        {
            "sample_rate": codec_conf.get("sampling_rate", 16000),
            **codec_conf.get("generator_params", {}),
        },
        f"{where}: codec_conf.generator_params",
    )


def load_builtin_generator(
    codec: str, codec_conf: Mapping[str, Any], model_file: Path, where: str
) -> BuiltinGenerator:
    """Build one of ESPnet's own codecs and load its part of an ESPnet checkpoint.

    Args:
        codec: Its name, e.g. "encodec".
        codec_conf: Its arguments.
        model_file: The checkpoint.
        where: Named in errors about the configuration.

    Raises:
        ConfigError: If ESPnet has no such codec, or the codec no such option.
        ModelError: If the file is not a checkpoint, or its names or shapes do not fit.
    """
    model = build_builtin_codec(codec, codec_conf, where)
    _load_part(model, CODEC_PREFIX, model_file)
    return BuiltinGenerator(model)


def _load_part(module: nn.Module, prefix: str, model_file: Path) -> None:
    """Load the weights whose names begin with `prefix` from an ESPnet checkpoint."""
    try:
        state = torch.load(model_file, map_location="cpu", weights_only=True)
        part = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
    except UNREADABLE as error:
        raise _unusable(model_file, error) from error
    load_state(module, part, model_file)


def load_state(module: nn.Module, state: Mapping[str, torch.Tensor], where: Path | str) -> None:
    """Load weights into a module.

    Raises:
        ModelError: If names or shapes do not fit.
    """
    try:
        module.load_state_dict(state)
    except UNREADABLE as error:
        raise _unusable(where, error) from error


def _unusable(where: Path | str, error: Exception) -> ModelError:
    reason = " ".join(str(error).split())[:300]
    return ModelError(f"{where}: cannot be loaded as this codec ({reason}).")

"""A trained generator from its configuration and an ESPnet checkpoint, and its fingerprint."""

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from espnet_stacodec.config import construct
from espnet_stacodec.errors import ModelError
from espnet_stacodec.fileio.files import fingerprint
from espnet_stacodec.gan_codec.generator import STACodecGenerator
from espnet_stacodec.parallel import default_float32
from espnet_stacodec.pretrained.experiment import Experiment

if TYPE_CHECKING:
    from espnet_stacodec.gan_codec.builtin import BuiltinGenerator

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


def load_codec(experiment: Experiment) -> "STACodecGenerator | BuiltinGenerator":
    """Build the generator of an experiment and load its weights.

    Raises:
        ConfigError: If the configuration has an option that the codec does not.
        ModelError: If the checkpoint cannot be read, or its names or shapes do not fit.
    """
    conf, where = experiment.codec_conf, experiment.label("config.yaml")
    checkpoint = experiment.label(experiment.model_file.name)
    if experiment.codec == "stacodec":
        with default_float32():
            generator = build_generator(conf, where)
        _load_part(generator, GENERATOR_PREFIX, experiment.model_file, checkpoint)
        return generator
    # ESPnet's codecs take seconds to import.
    from espnet_stacodec.gan_codec.builtin import BuiltinGenerator, build_builtin_codec

    with default_float32():
        codec = build_builtin_codec(experiment.codec, conf, where)
    _load_part(codec, CODEC_PREFIX, experiment.model_file, checkpoint)
    return BuiltinGenerator(codec)


def build_generator(codec_conf: Mapping[str, Any], where: str) -> STACodecGenerator:
    """Build an untrained generator.

    Args:
        codec_conf: Arguments of `STACodec`.
        where: Named in errors about them.
    """
    return construct(
        STACodecGenerator,
        {
            "sample_rate": codec_conf.get("sampling_rate", 16000),
            **codec_conf.get("generator_params", {}),
        },
        f"{where}: codec_conf.generator_params",
    )


def codec_fingerprint(generator: "STACodecGenerator | BuiltinGenerator") -> str:
    """Return 16 hexadecimal digits that identify a codec: its weights, and its other settings.

    Codecs with one fingerprint give the same codes and the same audio.
    """
    settings = json.dumps(generator.settings, sort_keys=True).encode()
    arrays = {name: value.cpu().numpy() for name, value in generator.state_dict().items()}
    arrays["settings"] = np.frombuffer(settings, np.uint8)
    return fingerprint(arrays.items())


def _load_part(module: nn.Module, prefix: str, model_file: Path, where: str) -> None:
    """Load the weights whose names begin with `prefix` from an ESPnet checkpoint."""
    try:
        state = torch.load(model_file, map_location="cpu", weights_only=True)
        part = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
    except UNREADABLE as error:
        raise _unusable(where, error) from error
    load_state(module, part, where)


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

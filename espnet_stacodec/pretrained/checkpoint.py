"""A trained generator from its configuration and its weights, and its fingerprint.

Weights are an ESPnet checkpoint (.pth, of the whole model) or a safetensors file of those that
encoding and decoding need, under the same names.
"""

import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from espnet_stacodec.config import construct
from espnet_stacodec.errors import ModelError
from espnet_stacodec.fileio.files import fingerprint
from espnet_stacodec.gan_codec.generator import STACodecGenerator
from espnet_stacodec.parallel import default_float32
from espnet_stacodec.pretrained.experiment import Experiment
from espnet_stacodec.pretrained.finite import check_finite
from espnet_stacodec.pretrained.precision import with_sums

if TYPE_CHECKING:
    from espnet_stacodec.gan_codec.builtin import BuiltinGenerator

# Where codec, generator and discriminator are in an ESPnet model.
CODEC_PREFIX = "codec."
GENERATOR_PREFIX = "codec.generator."
DISCRIMINATOR_PREFIX = "codec.discriminator."
# What torch raises for files that are cut off, of another kind, or of another model.
UNREADABLE = (
    AttributeError,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    SafetensorError,
    ValueError,
    pickle.UnpicklingError,
)
# torch's paragraphs around what it found: how to load a file unsafely, and where to read on.
ADVICE = re.compile(
    r"Weights only load failed\.|This file can.*?WeightsUnpickler error:|In PyTorch.*?trusted"
    r" source\.|Please file.*?WeightsUnpickler error:|(Please use|Check the doc).*"
)


def load_codec(experiment: Experiment) -> "STACodecGenerator | BuiltinGenerator":
    """Build the generator of an experiment and load its weights.

    Raises:
        ConfigError: If the configuration has an option that the codec does not.
        ModelError: If the checkpoint cannot be read, its names or shapes do not fit, or it has
            numbers that are not finite.
    """
    conf, where = experiment.codec_conf, experiment.label("config.yaml")
    checkpoint = experiment.label(experiment.model_file.name)
    state = inference_weights(experiment)
    if experiment.codec == "stacodec":
        with default_float32():
            generator = build_generator(conf, where)
        part = {name.removeprefix(GENERATOR_PREFIX): value for name, value in state.items()}
        load_state(generator, part, checkpoint)
        return generator
    # ESPnet's codecs take seconds to import.
    from espnet_stacodec.gan_codec.builtin import BuiltinGenerator, build_builtin_codec

    with default_float32():
        builtin = BuiltinGenerator(build_builtin_codec(experiment.codec, conf, where))
    load_state(builtin, state, checkpoint)
    return builtin


def inference_weights(experiment: Experiment) -> dict[str, torch.Tensor]:
    """Return the weights that encoding and decoding need, by their names in ESPnet's model.

    Raises:
        ModelError: If the file cannot be read, or some of them are not finite.
    """
    is_ours = experiment.codec == "stacodec"
    kept = GENERATOR_PREFIX if is_ours else CODEC_PREFIX
    state = {
        name: value
        for name, value in all_weights(experiment).items()
        if name.startswith(kept) and not name.startswith(DISCRIMINATOR_PREFIX)
    }
    check_finite(state, experiment.label(experiment.model_file.name))
    return with_sums(state) if is_ours else state


def all_weights(experiment: Experiment) -> dict[str, torch.Tensor]:
    """Return all tensors in the experiment's file of weights.

    Raises:
        ModelError: If the file cannot be read.
    """
    path = experiment.model_file
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {str(name): v for name, v in state.items() if isinstance(v, torch.Tensor)}
    except UNREADABLE as error:
        raise _unusable(experiment.label(path.name), error) from error


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
            **(codec_conf.get("generator_params") or {}),
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
    return ModelError(f"{where}: cannot be loaded as this codec ({load_reason(error)}).")


def load_reason(error: Exception) -> str:
    """Return why torch cannot load a file, without its advice to load it unsafely."""
    text = " ".join(str(error).split())
    return ADVICE.sub("", text).strip()[:300] or type(error).__name__

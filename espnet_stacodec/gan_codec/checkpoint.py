"""A trained generator from its configuration and an ESPnet checkpoint."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from espnet_stacodec.config import construct
from espnet_stacodec.errors import ModelError
from espnet_stacodec.gan_codec.generator import STACodecGenerator

# Where the generator is in an ESPnet model.
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
    generator = construct(
        STACodecGenerator,
        {
            "sample_rate": codec_conf.get("sampling_rate", 16000),
            **codec_conf.get("generator_params", {}),
        },
        f"{where}: codec_conf.generator_params",
    )
    try:
        state = torch.load(model_file, map_location="cpu", weights_only=True)
        generator.load_state_dict(
            {
                name.removeprefix(GENERATOR_PREFIX): value
                for name, value in state.items()
                if name.startswith(GENERATOR_PREFIX)
            }
        )
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{model_file}: cannot be loaded as this codec ({reason}).") from error
    return generator

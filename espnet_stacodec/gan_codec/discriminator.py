"""The MS-STFT discriminator, which is ESPnet's, of the options in `discriminator_params`."""

import inspect
from collections.abc import Mapping
from typing import Any

from espnet2.gan_codec.shared.discriminator.msstft_discriminator import (
    DiscriminatorSTFT,
    MultiScaleSTFTDiscriminator,
)

from espnet_stacodec.config import check_keys
from espnet_stacodec.errors import ConfigError


def build_discriminator(params: Mapping[str, Any], where: str) -> MultiScaleSTFTDiscriminator:
    """Return the discriminator of these options; `filters` is 32 if not given.

    Raises:
        ConfigError: If an option is unknown, or ESPnet's class cannot be built of these.
    """
    check_keys(params, discriminator_keys(), where)
    try:
        return MultiScaleSTFTDiscriminator(**({"filters": 32} | dict(params)))
    except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        said = f" ({error})" if str(error) else ""
        raise ConfigError(
            f"{where}: ESPnet's MultiScaleSTFTDiscriminator cannot be built with {dict(params)}"
            f"{said}; lists must be equally long, sizes positive, and names known to ESPnet and"
            " torch.nn."
        ) from error


def discriminator_keys() -> set[str]:
    """Return the options of the discriminator; those of its parts pass through its **kwargs."""
    names = {
        name
        for part in (MultiScaleSTFTDiscriminator, DiscriminatorSTFT)
        for name in inspect.signature(part).parameters
    }
    # One value per part; its plural says it.
    return names - {"kwargs", "n_fft", "hop_length", "win_length"}

"""Encoder and decoder of a generator: the paper's SEANet, or networks on spectra."""

from collections.abc import Mapping
from typing import Any

from espnet2.gan_codec.shared.decoder.seanet import SEANetDecoder
from espnet2.gan_codec.shared.encoder.seanet import SEANetEncoder
from torch import nn

from espnet_stacodec.config import check_keys, construct
from espnet_stacodec.errors import ConfigError
from espnet_stacodec.gan_codec.causal_spectral import (
    CausalSpectralDecoder,
    CausalSpectralEncoder,
)
from espnet_stacodec.gan_codec.seanet import build_seanet
from espnet_stacodec.gan_codec.spectral import SpectralDecoder, SpectralEncoder

WHERE = "codec_conf.generator_params.spectral"
# By whether the codec is causal.
ON_SPECTRA: dict[bool, dict[str, type[nn.Module]]] = {
    False: {"encoder": SpectralEncoder, "decoder": SpectralDecoder},
    True: {"encoder": CausalSpectralEncoder, "decoder": CausalSpectralDecoder},
}


def build_networks(
    dimension: int,
    hop_samples: int,
    causal: bool,
    seanet: Mapping[str, Any],
    spectral: Mapping[str, Any] | None,
) -> tuple[nn.Module, nn.Module]:
    """Return encoder and decoder.

    Args:
        dimension: Latent dimension, D.
        hop_samples: Samples of a frame.
        causal: Whether they see nothing later than a frame.
        seanet: Further arguments of `build_seanet`.
        spectral: Arguments of encoder and decoder on spectra, by these names; None for SEANet.

    Raises:
        ConfigError: If an argument is unknown or out of its range.
    """
    if spectral is None:
        options = {**seanet, "dimension": dimension, "causal": causal}
        return build_seanet(SEANetEncoder, **options), build_seanet(SEANetDecoder, **options)
    check_keys(spectral, ("encoder", "decoder"), WHERE)
    for part, conf in spectral.items():
        if not isinstance(conf, Mapping | None):
            raise ConfigError(f"{WHERE}.{part}: {conf!r} is no mapping; give keys and values.")
    shape = {"dimension": dimension, "hop_samples": hop_samples}
    encoder, decoder = (
        construct(network, shape | dict(spectral.get(part) or {}), f"{WHERE}.{part}")
        for part, network in ON_SPECTRA[causal].items()
    )
    return encoder, decoder

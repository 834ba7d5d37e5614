"""Encoder and decoder networks on frames as they come, whatever kind they are."""

from typing import Protocol, cast

import torch
from torch import nn

from espnet_stacodec.gan_codec.causal_spectral import (
    CausalSpectralDecoder,
    CausalSpectralEncoder,
)
from espnet_stacodec.gan_codec.lookahead import Memory
from espnet_stacodec.gan_codec.seanet import SEANet
from espnet_stacodec.streaming.seanet import SEANetSteps


class Steps(Protocol):
    """A network that is given the next frames of several streams."""

    def memory(self, streams: int) -> Memory:
        """Return what new streams remember."""

    def __call__(self, x: torch.Tensor, memory: Memory) -> torch.Tensor:
        """Return the output for the next frames; `memory` is changed."""


class SpectralSteps:
    """A causal network on spectra that is given the next frames of several streams.

    Args:
        network: The network.
        name: Begins the names of what is remembered.
    """

    def __init__(self, network: CausalSpectralEncoder | CausalSpectralDecoder, name: str) -> None:
        self.network = network
        self.name = name

    def memory(self, streams: int) -> Memory:
        """Return what new streams remember."""
        return self.network.memory(streams, self.name)

    def __call__(self, x: torch.Tensor, memory: Memory) -> torch.Tensor:
        """x: (B, 1, F * hop) the next samples, or (B, D, F) latents. Returns the other of them."""
        return self.network.step(x, memory, self.name)


def steps_of(network: nn.Module, name: str) -> Steps:
    """Return a causal encoder or decoder as what takes steps, its names beginning with `name`."""
    if isinstance(network, CausalSpectralEncoder | CausalSpectralDecoder):
        return SpectralSteps(network, name)
    return SEANetSteps(cast(SEANet, network), name)

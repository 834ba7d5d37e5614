"""The generator of STACodec: encoder, quantizer, decoder."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from espnet2.gan_codec.shared.decoder.seanet import SEANetDecoder
from espnet2.gan_codec.shared.encoder.seanet import SEANetEncoder
from torch import nn

from espnet_stacodec.config import check_keys
from espnet_stacodec.errors import ConfigError
from espnet_stacodec.frames import FrameRule
from espnet_stacodec.gan_codec.quantizer.assignment import (
    AssignedCodebook,
    FrozenAssignedCodebook,
)
from espnet_stacodec.gan_codec.quantizer.codebook import Codebook
from espnet_stacodec.gan_codec.quantizer.residual import Quantized, ResidualQuantizer
from espnet_stacodec.gan_codec.seanet import build_seanet, length_mask
from espnet_stacodec.gan_codec.token_source import GivenTokens, NoTokens

ASSIGNED_LAYERS = {"sta": AssignedCodebook, "frozen": FrozenAssignedCodebook}
ASSIGNMENTS = ("none", *ASSIGNED_LAYERS)


@dataclasses.dataclass(frozen=True)
class Generated:
    """What the generator returns in training.

    Attributes:
        audio: (B, 1, T * hop) the decoded audio.
        quantized: The quantizer's result.
    """

    audio: torch.Tensor
    quantized: Quantized


class STACodecGenerator(nn.Module):
    """SEANet encoder, residual quantizer with assigned first layer, SEANet decoder.

    Args:
        sample_rate: Hz.
        dimension: Latent dimension, D.
        n_filters: Width of the outermost convolutions.
        ratios: Strides of the decoder, outermost last; their product is the hop (samples).
        lstm_layers: LSTM layers in encoder and decoder; 0 for none.
        bidirectional: Whether the LSTMs read both ways.
        n_codebooks: Layers of the residual quantizer.
        codebook_size: Entries per codebook.
        assignment: "sta" (first layer assigned), "frozen" (assigned, entries not trained) or
            "none" (plain residual quantization).
        semantic_clusters: Number of different semantic tokens, K; needed unless "none".
        codebook: Further arguments of `Codebook`.
    """

    def __init__(
        self,
        sample_rate: int,
        dimension: int = 128,
        n_filters: int = 64,
        ratios: Sequence[int] = (8, 5, 4, 2),
        lstm_layers: int = 2,
        bidirectional: bool = True,
        n_codebooks: int = 8,
        codebook_size: int = 1024,
        assignment: str = "sta",
        semantic_clusters: int | None = None,
        codebook: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.frame_rule = FrameRule(math.prod(ratios), sample_rate)
        sizes = {
            "dimension": dimension,
            "n_filters": n_filters,
            "ratios": list(ratios),
            "lstm": lstm_layers,
        }
        self.encoder = build_seanet(SEANetEncoder, bidirectional, **sizes)
        self.decoder = build_seanet(SEANetDecoder, bidirectional, **sizes)
        codebook = dict(codebook or {})
        check_keys(
            codebook,
            ("decay", "revival_threshold", "kmeans_iterations"),
            "codec_conf.generator_params.codebook",
        )
        codebook |= {"size": codebook_size, "dim": dimension}
        layers = [Codebook(**codebook) for _ in range(n_codebooks)]
        if assignment in ASSIGNED_LAYERS:
            if semantic_clusters is None:
                raise ConfigError(
                    f"assignment '{assignment}' needs semantic tokens: train with"
                    " `python -m espnet_stacodec.bin.train --semantic_tokenizer DIR`"
                    " (ESPnet's own gan_codec_train would drop them)."
                )
            layers[0] = ASSIGNED_LAYERS[assignment](semantic_clusters, **codebook)
        elif assignment != "none":
            raise ConfigError(
                f"assignment '{assignment}' is unknown; known are {', '.join(ASSIGNMENTS)}."
            )
        self.quantizer = ResidualQuantizer(layers)
        self.token_source = NoTokens() if assignment == "none" else GivenTokens()

    def forward(
        self,
        audio: torch.Tensor,
        semantic: torch.Tensor | None = None,
        num_frames: torch.Tensor | None = None,
    ) -> Generated:
        """Encode, quantize and decode.

        Args:
            audio: (B, 1, T * hop) whole frames.
            semantic: (B, T) semantic tokens, where assigned.
            num_frames: (B,) valid frames; None if all T are.
        """
        quantized = self.quantize(audio, semantic, num_frames)
        return Generated(self.decoder(quantized.latents, num_frames), quantized)

    def quantize(
        self,
        audio: torch.Tensor,
        semantic: torch.Tensor | None = None,
        num_frames: torch.Tensor | None = None,
    ) -> Quantized:
        """Encode and quantize; arguments as for `forward`."""
        hop = self.frame_rule.hop_samples
        latents = self.encoder(audio, None if num_frames is None else num_frames * hop)
        tokens = self.token_source(latents, semantic)
        mask = None if num_frames is None else length_mask(num_frames, latents.shape[-1])
        return self.quantizer(latents, tokens, mask)

    def decode(self, codes: torch.Tensor, num_frames: torch.Tensor | None = None) -> torch.Tensor:
        """Return the audio (B, 1, T * hop) of codes (n, B, T) of the first n codebooks."""
        return self.decoder(self.quantizer.decode(codes), num_frames)

"""Properties of a codec: rates, codebooks, bitrate, source of its tokens."""

import math
from typing import TYPE_CHECKING

import numpy as np

from espnet_stacodec.frames import FrameRule
from espnet_stacodec.gan_codec.quantizer.codebook import Codebook
from espnet_stacodec.gan_codec.tokens.predistillation import Predistillation

if TYPE_CHECKING:
    from espnet_stacodec.gan_codec.builtin import BuiltinGenerator
    from espnet_stacodec.gan_codec.generator import STACodecGenerator


class CodecDescription:
    """Properties of a codec, read from its generator.

    Attributes:
        generator: A generator of this package, or one of ESPnet's built-in codecs.
    """

    generator: "STACodecGenerator | BuiltinGenerator"

    @property
    def frame_rule(self) -> FrameRule:
        """Conversion between samples and frames."""
        return self.generator.frame_rule

    @property
    def sample_rate(self) -> int:
        """Sampling rate of the codec (Hz)."""
        return self.frame_rule.sample_rate

    @property
    def n_codebooks(self) -> int:
        """Layers of the quantizer."""
        return len(self.generator.codebooks)

    @property
    def codebook_sizes(self) -> list[int]:
        """Entries of each codebook."""
        return [codebook.size for codebook in self.generator.codebooks]

    @property
    def codebook_choices(self) -> list[int]:
        """Entries of each codebook that can be chosen: of an assigned one, the tokens."""
        return [codebook.num_choices for codebook in self.generator.codebooks]

    def codebook_vectors(self) -> list[np.ndarray]:
        """Return the entries (K, D) of each codebook; none of ESPnet's built-in codecs."""
        codebooks = (c for c in self.generator.codebooks if isinstance(c, Codebook))
        return [codebook.embed.cpu().numpy() for codebook in codebooks]

    def bits_per_second(self, n_codebooks: int | None = None) -> float:
        """Return the bitrate of the first n codebooks: log2 of the entries each can choose."""
        bits = sum(math.log2(choices) for choices in self.codebook_choices[:n_codebooks])
        return self.frame_rule.frame_rate_hz * bits

    @property
    def needs_tokens(self) -> bool:
        """Whether encoding needs semantic tokens."""
        return self.generator.token_source.needs_tokens

    @property
    def predicts_tokens(self) -> bool:
        """Whether the codec itself predicts the semantic tokens of its first codebook (SPD)."""
        return isinstance(self.generator.token_source, Predistillation)

    @property
    def token_kind(self) -> str:
        """Source of the semantic tokens of the first codebook, in words."""
        if self.needs_tokens:
            return "assigned"
        return "predicted" if self.predicts_tokens else "not assigned (plain RVQ)"

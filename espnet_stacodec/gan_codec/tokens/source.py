"""Where the semantic tokens of the first layer come from."""

import dataclasses
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from espnet_stacodec.errors import TokenError
from espnet_stacodec.gan_codec.batch_part import BatchPart


@dataclasses.dataclass(frozen=True)
class Tokens:
    """What a token source returns.

    Attributes:
        values: (B, T) int64, the token to assign to each frame; None where none are assigned.
        loss: () what the source itself is trained on, weighted, a mean over valid frames; None
            where there is nothing.
        statistics: Figures to log, by name.
    """

    values: torch.Tensor | None
    loss: torch.Tensor | None = None
    statistics: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)


class Tokenizer(Protocol):
    """A semantic tokenizer as the codec sees it (`pretrained.codec_tokenizer.CodecTokenizer`)."""

    def __init__(self, folder: Path | None, fingerprint: str | None) -> None: ...

    def __call__(self, wave: torch.Tensor, sample_rate: int, where: str) -> torch.Tensor:
        """Return the tokens (T,) of a whole waveform (N,)."""
        ...


class TokenSource(nn.Module):
    """Gives the semantic token of each frame to the quantizer.

    Given tokens are one source; a module that predicts them from the encoder's output is another.

    Attributes:
        needs_tokens: Whether encoding needs tokens from outside.
    """

    needs_tokens = False

    def forward(
        self,
        latents: torch.Tensor,
        given: torch.Tensor | None,
        lengths: torch.Tensor | None,
        part: BatchPart | None = None,
    ) -> Tokens:
        """Choose the tokens.

        Args:
            latents: (B, D, T) encoder output.
            given: (B, T) tokens that came with the audio, or None.
            lengths: (B,) valid frames; None if all T are.
            part: Of a step's batch that these items are; None for all of it.
        """
        raise NotImplementedError


class NoTokens(TokenSource):
    """Plain residual quantization: tokens play no part, whether there are any or not."""

    def forward(
        self,
        latents: torch.Tensor,
        given: torch.Tensor | None,
        lengths: torch.Tensor | None,
        part: BatchPart | None = None,
    ) -> Tokens:
        """Return no tokens."""
        return Tokens(None)


class GivenTokens(TokenSource):
    """The tokens that come with the audio: from files in training, from a tokenizer otherwise."""

    needs_tokens = True

    def forward(
        self,
        latents: torch.Tensor,
        given: torch.Tensor | None,
        lengths: torch.Tensor | None,
        part: BatchPart | None = None,
    ) -> Tokens:
        """Return the given tokens.

        Raises:
            TokenError: If there are none.
        """
        if given is None:
            raise TokenError(
                "This codec assigns semantic tokens and got none: train it with"
                " `python -m espnet_stacodec.bin.train` (ESPnet's gan_codec_train drops them),"
                " and encode with semantic=TOKENS, or let the experiment's own tokenizer make them:"
                " espnet_stacodec's AudioCoding does, ESPnet's with the archive of stage 8."
            )
        return Tokens(given)

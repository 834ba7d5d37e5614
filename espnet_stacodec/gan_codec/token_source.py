"""Where the semantic tokens of the first layer come from."""

import torch
from torch import nn

from espnet_stacodec.errors import TokenError


class TokenSource(nn.Module):
    """Gives the semantic token of each frame to the quantizer.

    Given tokens are one source; a module that predicts them from the encoder's output is another.
    """

    def forward(self, latents: torch.Tensor, given: torch.Tensor | None) -> torch.Tensor | None:
        """latents: (B, D, T) encoder output; given: (B, T) or None. Returns (B, T) or None."""
        raise NotImplementedError


class NoTokens(TokenSource):
    """Plain residual quantization: tokens play no part, whether there are any or not."""

    def forward(self, latents: torch.Tensor, given: torch.Tensor | None) -> None:
        """Return None."""
        return None


class GivenTokens(TokenSource):
    """The tokens that come with the audio: from files in training, from a tokenizer otherwise."""

    def forward(self, latents: torch.Tensor, given: torch.Tensor | None) -> torch.Tensor:
        """Return the given tokens.

        Raises:
            TokenError: If there are none.
        """
        if given is None:
            raise TokenError(
                "This codec assigns semantic tokens and got none: train it with"
                " `python -m espnet_stacodec.bin.train` (ESPnet's gan_codec_train drops them),"
                " and encode with semantic=TOKENS or with the experiment's own tokenizer."
            )
        return given

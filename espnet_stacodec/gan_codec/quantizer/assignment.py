"""Semantic token assignment (STA): the code of the first layer *is* the frame's semantic token.

STACodec, arXiv 2602.06180.
"""

import torch

from espnet_stacodec.errors import TokenError
from espnet_stacodec.gan_codec.quantizer.codebook import Codebook


class AssignedCodebook(Codebook):
    """A codebook whose codes are given from outside; its entries follow the frames of each token.

    The first frames that carry a token place its entry on their mean; until then it lies at the
    mean of all frames and is left out of searches and usage figures, as are entries beyond the
    tokens. No entry is dead: each belongs to its token, used or not.

    Args:
        num_tokens: Number of different semantic tokens, at most `size`.
        **kwargs: As for `Codebook`.
    """

    seen: torch.Tensor

    def __init__(self, num_tokens: int, **kwargs) -> None:
        super().__init__(**kwargs)
        if not 1 <= num_tokens <= self.size:
            raise TokenError(
                f"{num_tokens} semantic tokens do not fit a codebook of {self.size} entries;"
                " set codebook_size to at least the number of k-means clusters."
            )
        self.num_tokens = num_tokens
        self.register_buffer("seen", torch.zeros(self.size, dtype=torch.bool))

    @property
    def num_choices(self) -> int:
        """The number of tokens, K."""
        return self.num_tokens

    def usable(self) -> torch.Tensor:
        """Return a (K,) mask of the tokens that have been seen."""
        return self.seen

    def choose(self, frames: torch.Tensor, tokens: torch.Tensor | None) -> torch.Tensor:
        """Return the tokens (N,) themselves."""
        if tokens is None:
            raise TokenError("Semantic token assignment needs a semantic token for each frame.")
        return tokens

    @torch.no_grad()
    def initialize(self, frames: torch.Tensor, tokens: torch.Tensor | None, seed: int) -> None:
        """Place the entry of each token that frames (N, D) carry on their mean.

        All others lie at the mean of all frames, with weight zero: the first update that meets
        their token moves them onto the mean of its frames.
        """
        self._place(frames.mean(0).expand_as(self.embed), torch.zeros_like(self.cluster_size))
        # At once, so that the next layers start on what this one will leave.
        self.update(frames, self.choose(frames, tokens))

    @torch.no_grad()
    def follow(self, counts: torch.Tensor, sums: torch.Tensor) -> None:
        """Let each token's entry follow its frames: their counts (K,) and sums (K, D)."""
        super().follow(counts, sums)
        self.seen.logical_or_(counts > 0)

    def replace_dead(self, frames: torch.Tensor, seed: int) -> None:
        """Do nothing: an entry belongs to its token."""


class FrozenAssignedCodebook(AssignedCodebook):
    """The ablation of a first codebook that is not trained: entries stay where they began.

    Each entry is the mean of the frames of the first batch that had its token.
    """

    @torch.no_grad()
    def follow(self, counts: torch.Tensor, sums: torch.Tensor) -> None:
        """Place the entries of tokens that are met for the first time; leave all others."""
        placed, entries = self.seen.clone().unsqueeze(1), self.embed.clone()
        super().follow(counts, sums)
        self.embed.copy_(torch.where(placed, entries, self.embed))

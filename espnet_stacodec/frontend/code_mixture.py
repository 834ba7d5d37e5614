"""Codes as input: an embedding per codebook, mixed with learned weights.

The way of the discrete-token benchmarks: the frames of n codebooks are n embeddings, whose
softmax-weighted sum the encoder sees.
"""

import torch
from espnet2.asr.frontend.abs_frontend import AbsFrontend
from torch import nn
from typeguard import typechecked

from espnet_stacodec.errors import ConfigError, TokenError


class CodeMixtureFrontend(AbsFrontend):
    """Embeds interleaved codes, t0q0 t0q1 ... t1q0 ..., as `downstream` writes them.

    Each id of the source token list has its own row of the embedding, so that the codebooks share
    none, and <sos/eos>, which ESPnet's translation task adds, is a frame like any other.

    Args:
        input_size: Length of the source token list, V.
        n_codebooks: Codes of a frame, n.
        embed_dim: Dimension of the embeddings, E.
        output_dim: Dimension of what comes out, D: the mixture is projected; None for E.
        dropout: Probability of dropout on the output.
        code_dropout: Share of the frames whose embedding is left out in training.

    Raises:
        ConfigError: If a size is not positive.
    """

    @typechecked
    def __init__(
        self,
        input_size: int,
        n_codebooks: int = 1,
        embed_dim: int = 256,
        output_dim: int | None = None,
        dropout: float = 0.0,
        code_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if min(input_size, n_codebooks, embed_dim, output_dim or 1) < 1:
            raise ConfigError(
                f"frontend_conf: input_size {input_size}, n_codebooks {n_codebooks}, embed_dim"
                f" {embed_dim} and output_dim {output_dim} must be positive."
            )
        self.n_codebooks = n_codebooks
        self.embedding = nn.Embedding(input_size, embed_dim)
        self.mixture = nn.Parameter(torch.zeros(n_codebooks))
        self.projection = nn.Linear(embed_dim, output_dim) if output_dim else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.code_dropout = code_dropout
        self._output_size = output_dim or embed_dim

    def forward(
        self, input: torch.Tensor, input_lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Embed the frames.

        Args:
            input: (B, T * n) ids; anything past the end of an item.
            input_lengths: (B,) valid ids of each item, whole frames.

        Returns:
            (B, T, D), zero past the end of each item, and (B,) the frames of each.

        Raises:
            TokenError: If the ids are not whole frames or not in the token list.
        """
        frames = self._frames(input, input_lengths)
        lengths = input_lengths // self.n_codebooks
        valid = torch.arange(frames.shape[1], device=lengths.device) < lengths[:, None]
        frames = frames.masked_fill(~valid[..., None], 0)
        vocabulary = self.embedding.num_embeddings
        if bool(((frames < 0) | (frames >= vocabulary)).any()):
            raise TokenError(
                f"The input holds ids {int(frames.min())} to {int(frames.max())}, the token list of"
                f" this model has 0 to {vocabulary - 1}: the codes are of another codec."
            )
        mixed = self.embed(frames)
        kept = valid
        if self.training and self.code_dropout:
            kept = valid & (torch.rand(valid.shape, device=valid.device) >= self.code_dropout)
        return self.dropout(self.projection(mixed)) * kept[..., None], lengths

    def embed(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the mixture (B, T, E) of the embeddings of ids (B, T, n)."""
        return torch.einsum("btne,n->bte", self.embedding(frames), self.mixture.softmax(0))

    def _frames(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return ids (B, T * n) as (B, T, n)."""
        if ids.shape[1] % self.n_codebooks or bool((lengths % self.n_codebooks).any()):
            raise TokenError(
                f"{lengths.tolist()} ids are not whole frames of n_codebooks {self.n_codebooks}."
            )
        return ids.long().unflatten(1, (-1, self.n_codebooks))

    def output_size(self) -> int:
        """Return D."""
        return self._output_size

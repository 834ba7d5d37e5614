"""Codes as input: an embedding per codebook, mixed with learned weights.

The way of the discrete-token benchmarks: the frames of n codebooks are n embeddings, whose
softmax-weighted sum the encoder sees.
"""

import logging
from pathlib import Path

import numpy as np
import torch
from espnet2.asr.frontend.abs_frontend import AbsFrontend
from torch import nn
from typeguard import typechecked

from espnet_stacodec.errors import ConfigError, TokenError
from espnet_stacodec.gan_codec.lengths import length_mask

SMALLEST_STD = 1e-6
# Adam moves every parameter by about the learning rate. Logits have a longer way to go than
# other weights: with 1, a training of 400 steps on eight codebooks ended at nearly equal shares.
MIXTURE_SPEED = 10.0


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
        vectors: An .npy file (V, E) that the embeddings begin as, e.g. vectors.npy, the codec's
            codebook entries, which stage 2 of a recipe writes. Where it is gone, as on another
            machine, the embeddings must come from a checkpoint.
        fixed: Whether the embeddings stay what they began as.

    Raises:
        ConfigError: If a size is not positive, or does not fit the vectors.
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
        vectors: str | None = None,
        fixed: bool = False,
    ) -> None:
        super().__init__()
        if min(input_size, n_codebooks, embed_dim, output_dim or 1) < 1:
            raise ConfigError(
                f"frontend_conf: input_size {input_size}, n_codebooks {n_codebooks}, embed_dim"
                f" {embed_dim} and output_dim {output_dim} must be positive."
            )
        self.n_codebooks = n_codebooks
        self.vectors = vectors
        self.embedding = nn.Embedding(input_size, embed_dim)
        self.embedding.weight.requires_grad_(not fixed)
        self.reload_pretrained_parameters()
        self.mixture = nn.Parameter(torch.zeros(n_codebooks))
        self.projection = nn.Linear(embed_dim, output_dim) if output_dim else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.code_dropout = code_dropout
        self._output_size = output_dim or embed_dim

    def reload_pretrained_parameters(self) -> None:
        """Let the embeddings begin as the vectors; ESPnet calls it after its own `init`."""
        if self.vectors is None:
            return
        if not Path(self.vectors).exists():
            logging.warning("%s is gone: the embeddings must come from a checkpoint.", self.vectors)
            return
        entries = torch.from_numpy(np.load(self.vectors))
        wanted = self.embedding.weight.shape
        if entries.shape != wanted:
            fits = entries.ndim == 2 and len(entries) == len(self.embedding.weight)
            cure = f"set embed_dim to {entries.shape[1]}" if fits else "they are of other codes"
            raise ConfigError(
                f"frontend_conf: {self.vectors} holds {tuple(entries.shape)} numbers, input_size"
                f" and embed_dim are {tuple(wanted)}; {cure}."
            )
        with torch.no_grad():
            # Of the size of random embeddings, whatever the codec's latents are.
            self.embedding.weight.copy_(entries / entries.std().clamp(min=SMALLEST_STD))

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
        valid = length_mask(lengths, frames.shape[1])
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
        weights = (MIXTURE_SPEED * self.mixture).softmax(0)
        # Not einsum: its matrix product rounds by the shape of the batch, on some CPUs.
        return (self.embedding(frames) * weights[:, None]).sum(-2)

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

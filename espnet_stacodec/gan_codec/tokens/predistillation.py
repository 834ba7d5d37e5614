"""Semantic pre-distillation (SPD): predict the tokens, so that encoding needs no SSL model.

STACodec, arXiv 2602.06180.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from espnet_stacodec.config import construct
from espnet_stacodec.errors import TokenError
from espnet_stacodec.gan_codec.bottleneck import WindowedTransformer
from espnet_stacodec.gan_codec.lengths import length_mask
from espnet_stacodec.gan_codec.step_counter import StepCounter
from espnet_stacodec.gan_codec.tokens.source import Tokens, TokenSource
from espnet_stacodec.gan_codec.tokens.span_mask import SpanMask

WHERE = "codec_conf.generator_params.predistillation"
IGNORED = -100  # cross-entropy's own mark for a frame that does not count


class Predistillation(StepCounter, TokenSource):
    """Predicts the token of each frame from the encoder's output, and assigns its predictions.

    Args:
        dimension: Channels of the encoder's output, D.
        num_tokens: Number of different tokens, K.
        transformer: Arguments of `WindowedTransformer`.
        masking: Arguments of `SpanMask`, which hides parts of the input in training.
        loss_weight: Weight of the cross-entropy.
        scheduled_sampling_steps: The share of frames that are assigned their true token in training
            falls from 1 to 0 over this many steps; with 0 all are assigned the prediction.
    """

    # In the state, so that a resumed training goes on with the same share of true tokens.
    counter = "steps"
    steps: torch.Tensor
    token_counts: torch.Tensor

    def __init__(
        self,
        dimension: int,
        num_tokens: int,
        transformer: Mapping[str, Any] | None = None,
        masking: Mapping[str, Any] | None = None,
        loss_weight: float = 5.0,
        scheduled_sampling_steps: int = 0,
    ) -> None:
        super().__init__()
        self.transformer = construct(
            WindowedTransformer,
            {"dimension": dimension, **(transformer or {})},
            f"{WHERE}.transformer",
        )
        self.head = nn.Linear(dimension, num_tokens)
        self.masking = construct(SpanMask, masking or {}, f"{WHERE}.masking")
        self.loss_weight = loss_weight
        self.scheduled_sampling_steps = scheduled_sampling_steps
        self.register_buffer("token_counts", torch.zeros(num_tokens, dtype=torch.long))

    def logits(self, latents: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return (B, T, K) logits of the tokens of latents (B, D, T)."""
        return self.head(self.transformer(latents, lengths).transpose(1, 2))

    def forward(
        self, latents: torch.Tensor, given: torch.Tensor | None, lengths: torch.Tensor | None
    ) -> Tokens:
        """Predict the tokens; with given ones also return the loss and the accuracy.

        Raises:
            TokenError: If there are none given in training.
        """
        if self.training and given is None:
            raise TokenError(
                "Semantic pre-distillation learns from semantic tokens and got none: train it"
                " with `python -m espnet_stacodec.bin.train` and the tokens of stage 3."
            )
        logits = self.logits(self.masking(latents) if self.training else latents, lengths)
        predicted = logits.argmax(2)
        if given is None:
            return Tokens(predicted)
        valid = torch.ones_like(given, dtype=torch.bool)
        if lengths is not None:
            valid = length_mask(lengths, given.shape[1])
        loss = nn.functional.cross_entropy(
            logits.float().transpose(1, 2), given.masked_fill(~valid, IGNORED)
        )
        statistics = self._statistics(predicted[valid], given[valid])
        if self.training:
            predicted = self._mixed(predicted, given)
        return Tokens(predicted, self.loss_weight * loss, statistics)

    def _mixed(self, predicted: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        """Return (B, T): the share of true tokens that this step is to have, else predictions."""
        total = self.scheduled_sampling_steps
        share = 1 - self.count() / total if total else 0.0
        self.advance()
        if share <= 0:
            return predicted
        return torch.where(torch.rand(true.shape, device=true.device) < share, true, predicted)

    @torch.no_grad()
    def _statistics(self, predicted: torch.Tensor, true: torch.Tensor) -> dict[str, torch.Tensor]:
        """predicted, true: (N,) of valid frames. Returns the accuracy, and the majority class's.

        The majority class is the most frequent token of the training.
        """
        if self.training:
            self.token_counts += true.bincount(minlength=len(self.token_counts))
        return {
            "token_accuracy": (predicted == true).float().mean(),
            "majority_token_accuracy": (true == self.token_counts.argmax()).float().mean(),
        }

"""Semantic pre-distillation (SPD): predict the tokens, so that encoding needs no SSL model.

STACodec, arXiv 2602.06180.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from espnet_stacodec.config import check_range, construct
from espnet_stacodec.errors import ConfigError, TokenError
from espnet_stacodec.gan_codec.batch_part import BatchPart, BatchSize
from espnet_stacodec.gan_codec.bottleneck import WindowedTransformer
from espnet_stacodec.gan_codec.causal import CausalTransformer
from espnet_stacodec.gan_codec.causal_convnext import CausalConvNeXt
from espnet_stacodec.gan_codec.convnext import ConvNeXt
from espnet_stacodec.gan_codec.distributed import all_reduce_sum
from espnet_stacodec.gan_codec.lengths import length_mask
from espnet_stacodec.gan_codec.lookahead import Memory
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
        transformer: Arguments of `WindowedTransformer`, or of `CausalTransformer`.
        convolution: Arguments of a `ConvNeXt` stack, or of a `CausalConvNeXt`, which takes the
            transformer's place: less to compute, and it sees the same neighbours wherever long
            audio is cut. None for none.
        masking: Arguments of `SpanMask`, which hides parts of the input in training.
        loss_weight: Weight of the cross-entropy.
        scheduled_sampling_steps: The share of frames that are assigned their true token in training
            falls from 1 to 0 over this many steps; with 0 all are assigned the prediction. None:
            always the true token, so that only the audio of unseen speech meets predictions.
        smoothing: Share of the target that goes to other tokens than the true one, more to those
            whose centroids are close (`neighbours`): a frame between two clusters is no mistake.
        causal: Whether the network is a causal one: that of the whole codec.

    Raises:
        ConfigError: If both networks are configured, or a number is out of its range.
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
        scheduled_sampling_steps: int | None = 0,
        convolution: Mapping[str, Any] | None = None,
        smoothing: float = 0.0,
        causal: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ConfigError(f"{WHERE}: smoothing {smoothing} is outside 0..1.")
        check_range(WHERE, 0, loss_weight=loss_weight)
        check_range(WHERE, 0, scheduled_sampling_steps=scheduled_sampling_steps)
        self.convolution: ConvNeXt | CausalConvNeXt | None = None
        if convolution is None:
            network: Callable[..., WindowedTransformer | CausalTransformer] = (
                CausalTransformer if causal else WindowedTransformer
            )
            self.transformer: WindowedTransformer | CausalTransformer = construct(
                network,
                {"dimension": dimension, **(transformer or {})},
                f"{WHERE}.transformer",
            )
            self.head = nn.Linear(dimension, num_tokens)
        elif transformer is not None:
            raise ConfigError(f"{WHERE}: give either transformer or convolution.")
        else:
            shape = {"inputs": dimension, "outputs": num_tokens}
            stack: Callable[..., ConvNeXt | CausalConvNeXt] = CausalConvNeXt if causal else ConvNeXt
            self.convolution = construct(stack, shape | dict(convolution), f"{WHERE}.convolution")
        self.smoothing = smoothing
        # Known in training only, from the tokenizer's centroids.
        self.neighbours: torch.Tensor | None
        self.register_buffer("neighbours", None, persistent=False)
        self.masking = construct(SpanMask, masking or {}, f"{WHERE}.masking")
        self.loss_weight = loss_weight
        self.scheduled_sampling_steps = scheduled_sampling_steps
        self.register_buffer("token_counts", torch.zeros(num_tokens, dtype=torch.long))

    def logits(self, latents: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return (B, T, K) logits of the tokens of latents (B, D, T)."""
        if self.convolution is not None:
            return self.convolution(latents.transpose(1, 2), lengths)
        return self.head(self.transformer(latents, lengths).transpose(1, 2))

    def memory(self, streams: int, step_frames: int, name: str) -> Memory:
        """Return what new streams remember; arguments as of `CausalTransformer.memory`.

        Raises:
            ConfigError: If the network is not causal.
        """
        network = self._causal_network()
        if isinstance(network, CausalConvNeXt):
            return network.memory(streams, name)
        return network.memory(streams, step_frames, name)

    def step(self, latents: torch.Tensor, memory: Memory, name: str) -> torch.Tensor:
        """Return the tokens (B, F') of the next frames; arguments as of `CausalTransformer.step`.

        Raises:
            ConfigError: If the network is not causal.
        """
        network = self._causal_network()
        if isinstance(network, CausalConvNeXt):
            return network.step(latents.transpose(1, 2), memory, name).argmax(2)
        return self.head(network.step(latents, memory, name).transpose(1, 2)).argmax(2)

    def _causal_network(self) -> CausalConvNeXt | CausalTransformer:
        network = self.transformer if self.convolution is None else self.convolution
        if not isinstance(network, CausalConvNeXt | CausalTransformer):
            raise ConfigError(f"{WHERE}: only the network of a causal codec takes steps.")
        return network

    def forward(
        self,
        latents: torch.Tensor,
        given: torch.Tensor | None,
        lengths: torch.Tensor | None,
        part: BatchPart | None = None,
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
        items, _, frames = latents.shape
        part = part or BatchPart.alone(BatchSize(items, 0, items * frames, frames))
        masked = self.masking(latents, lengths, part) if self.training else latents
        logits = self.logits(masked, lengths)
        predicted = logits.argmax(2)
        if given is None:
            return Tokens(predicted)
        valid = None if lengths is None else length_mask(lengths, given.shape[1])
        targets = given if valid is None else given.masked_fill(~valid, IGNORED)
        loss = self._cross_entropy(logits.float(), targets)
        # Frames that are not finite are no sign of how frequent a token is, hidden or not.
        finite = latents.isfinite().all(1) & logits.isfinite().all(2)
        statistics = self._statistics(finite, predicted, targets, part)
        if self.training:
            predicted = self._mixed(predicted, given, part)
        return Tokens(predicted, self.loss_weight * loss, statistics)

    def know_centroids(self, centroids: torch.Tensor) -> None:
        """Learn from centroids (K, F) which tokens are close, where targets are smoothed."""
        if self.smoothing:
            self.neighbours = neighbours(centroids.float()).to(self.token_counts.device)

    def _cross_entropy(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """logits: (B, T, K); targets: (B, T), IGNORED where padded. Returns ()."""
        loss = nn.functional.cross_entropy(logits.transpose(1, 2), targets)
        if not (self.training and self.smoothing):
            return loss
        if self.neighbours is None:
            raise ConfigError(
                f"{WHERE}: smoothing needs the centroids of the tokenizer; train with"
                " `--semantic_tokenizer DIR` of tokens that were made by k-means, or set it to 0."
            )
        valid = targets != IGNORED
        # Frame by frame, padded ones too: choosing the valid ones would wait for the device.
        shares = self.neighbours[targets.clamp(min=0)]
        smooth = -(shares * logits.log_softmax(2)).sum(2)
        smooth = (smooth * valid).sum() / valid.sum().clamp(min=1)
        return (1 - self.smoothing) * loss + self.smoothing * smooth

    def _mixed(self, predicted: torch.Tensor, true: torch.Tensor, part: BatchPart) -> torch.Tensor:
        """Return (B, T) tokens: the step's share of true ones, else predictions."""
        total = self.scheduled_sampling_steps
        if total is None:
            return true
        share = 1 - self.count() / total if total else 0.0
        if part.learns and part.is_last:
            self.advance()
        if share <= 0:
            return predicted
        # For the whole batch, whatever its padding: ranks draw different frames.
        drawn = torch.rand(part.whole.items, part.whole.longest, device=true.device) < share
        return torch.where(part.own(drawn)[:, : true.shape[1]], true, predicted)

    @torch.no_grad()
    def _statistics(
        self,
        finite: torch.Tensor,
        predicted: torch.Tensor,
        targets: torch.Tensor,
        part: BatchPart,
    ) -> dict[str, torch.Tensor]:
        """Return the accuracy, and the majority class's: the most frequent token of the training.

        Args:
            finite: (B, T) which frames are.
            predicted: (B, T).
            targets: (B, T) true tokens; IGNORED where padded.
            part: Of a step's batch that these items are.
        """
        valid = targets != IGNORED
        total = valid.sum().clamp(min=1)
        if self.training and part.learns:
            counted = (valid & finite).flatten()
            counts = torch.zeros_like(self.token_counts).index_add_(
                0, targets.clamp(min=0).flatten(), counted.long()
            )
            all_reduce_sum(counts)
            self.token_counts += counts
        return {
            "token_accuracy": (valid & (predicted == targets)).sum() / total,
            "majority_token_accuracy": (valid & (targets == self.token_counts.argmax())).sum()
            / total,
        }


def neighbours(centroids: torch.Tensor) -> torch.Tensor:
    """Return (K, K) shares, in a row those of the other clusters by their closeness to its own.

    They fall with exp(-d^2 / s), d the distance of two of the centroids (K, F), s the mean of d^2
    to the closest one. A cluster has no share in its own row.
    """
    distances = torch.cdist(centroids, centroids).square()
    distances.fill_diagonal_(torch.inf)
    scale = distances.amin(1).mean().clamp(min=1e-12)
    return (-distances / scale).softmax(1)

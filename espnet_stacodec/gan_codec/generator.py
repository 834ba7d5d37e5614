"""The generator of STACodec: encoder, quantizer, decoder."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from espnet_stacodec.config import check_arguments, check_keys, check_range, choose, construct
from espnet_stacodec.errors import ConfigError
from espnet_stacodec.frames import FrameRule
from espnet_stacodec.gan_codec.batch_part import BatchPart, BatchSize
from espnet_stacodec.gan_codec.bottleneck import Bottleneck, WindowedTransformer
from espnet_stacodec.gan_codec.causal import CausalBottleneck, CausalTransformer
from espnet_stacodec.gan_codec.lengths import length_mask
from espnet_stacodec.gan_codec.networks import build_networks
from espnet_stacodec.gan_codec.quantizer.assignment import (
    AssignedCodebook,
    FrozenAssignedCodebook,
)
from espnet_stacodec.gan_codec.quantizer.codebook import Codebook
from espnet_stacodec.gan_codec.quantizer.residual import (
    Quantized,
    ResidualQuantizer,
    valid_frames,
)
from espnet_stacodec.gan_codec.tokens.distillation import build_distillation
from espnet_stacodec.gan_codec.tokens.predistillation import Predistillation
from espnet_stacodec.gan_codec.tokens.source import GivenTokens, NoTokens, Tokens, TokenSource
from espnet_stacodec.gan_codec.windows import Windows

FIRST_LAYERS: dict[str, type[Codebook]] = {
    "none": Codebook,
    "sta": AssignedCodebook,
    "frozen": FrozenAssignedCodebook,
}
# What is padded with zeros where audio is no whole frames: the waveform, or, as the published
# implementation does, the input of every convolution that has a stride.
INPUT_PADDINGS = ("waveform", "convolutions")
WHERE = "codec_conf.generator_params"


@dataclasses.dataclass(frozen=True)
class Generated:
    """What the generator returns in training.

    Attributes:
        audio: (B, 1, T * hop) the decoded audio.
        quantized: The quantizer's result.
        losses: What the latents are trained on, by name: this part's share of each.
        statistics: Figures to log, by name.
    """

    audio: torch.Tensor
    quantized: Quantized
    losses: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)
    statistics: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)


class STACodecGenerator(nn.Module):
    """Encoder, bottleneck, residual quantizer with assigned first layer, decoder.

    Encoder and decoder are the paper's SEANet, or smaller networks on spectra (`spectral`).

    Args:
        sample_rate: Hz.
        dimension: Latent dimension, D.
        n_filters: Width of SEANet's outermost convolutions.
        ratios: Strides of SEANet's decoder, outermost last; their product is the hop (samples).
        lstm_layers: LSTM layers in SEANet's encoder and decoder; 0 for none.
        bidirectional: Whether the LSTMs read both ways; None: unless the codec is causal.
        n_codebooks: Layers of the residual quantizer.
        codebook_size: Entries per codebook.
        assignment: "sta" (first layer assigned), "frozen" (assigned, entries not trained) or
            "none" (plain residual quantization).
        semantic_clusters: Number of different semantic tokens, K; needed where they are used.
        codebook: Further arguments of `Codebook`.
        quantizer_dropout: Share of items decoded from a random number of codebooks in training.
        bottleneck: Arguments of `Bottleneck`, the transformer before the quantizer; None for
            none, {} for the paper's.
        predistillation: Arguments of `Predistillation`, which predicts the tokens that are
            assigned; None where they are given.
        distillation: Arguments of `build_distillation`, the baseline of assignment; None for none.
        input_padding: "waveform" (audio is padded to whole frames) or "convolutions" (each pads
            its own input, as released weights expect).
        spectral: {"encoder": arguments of `SpectralEncoder`, "decoder": of `SpectralDecoder`},
            which take the place of SEANet; None for SEANet.
        causal: Whether no frame depends on later ones, but for what bottleneck and predistillation
            look ahead, so that the codec can stream. Networks whose arguments are given are then
            `CausalBottleneck`, `CausalTransformer`, `CausalConvNeXt`, `CausalSpectralEncoder` and
            `CausalSpectralDecoder`.

    Raises:
        ConfigError: If an option is unknown or out of its range, or options do not go together.
    """

    def __init__(
        self,
        sample_rate: int,
        dimension: int = 128,
        n_filters: int = 64,
        ratios: Sequence[int] = (8, 5, 4, 2),
        lstm_layers: int = 2,
        bidirectional: bool | None = None,
        n_codebooks: int = 8,
        codebook_size: int = 1024,
        assignment: str = "sta",
        semantic_clusters: int | None = None,
        codebook: Mapping[str, Any] | None = None,
        quantizer_dropout: float = 0.0,
        bottleneck: Mapping[str, Any] | None = None,
        predistillation: Mapping[str, Any] | None = None,
        distillation: Mapping[str, Any] | None = None,
        input_padding: str = "waveform",
        spectral: Mapping[str, Any] | None = None,
        causal: bool = False,
    ) -> None:
        super().__init__()
        sizes = {"dimension": dimension, "n_filters": n_filters, "codebook_size": codebook_size}
        check_range(WHERE, 1, n_codebooks=n_codebooks, **sizes)
        check_range(WHERE, 0, lstm_layers=lstm_layers)
        for ratio in ratios:
            check_range(WHERE, 1, ratios=ratio)
        check_range(WHERE, 0, 1, quantizer_dropout=quantizer_dropout)
        if input_padding not in INPUT_PADDINGS:
            raise ConfigError(
                f"{WHERE}: input_padding '{input_padding}' is unknown; known are"
                f" {', '.join(INPUT_PADDINGS)}."
            )
        if causal:
            _check_causal(bidirectional, input_padding)
        if spectral is not None and input_padding != "waveform":
            raise ConfigError(f"{WHERE}: spectral needs input_padding 'waveform'.")
        self.causal = causal
        self.pads_waveform = input_padding == "waveform"
        self.frame_rule = FrameRule(math.prod(ratios), sample_rate)
        seanet = {
            "n_filters": n_filters,
            "ratios": list(ratios),
            "lstm": lstm_layers,
            "bidirectional": not causal if bidirectional is None else bidirectional,
        }
        hop_samples = self.frame_rule.hop_samples
        self.encoder, self.decoder = build_networks(
            dimension, hop_samples, causal, seanet, spectral
        )
        transformer: Callable[..., Bottleneck | CausalBottleneck] = (
            CausalBottleneck if causal else Bottleneck
        )
        self.bottleneck: Bottleneck | CausalBottleneck | None = _optional(
            transformer, bottleneck, {"dimension": dimension}, "bottleneck"
        )
        if self.bottleneck is not None:
            self.bottleneck.begin_as_identity()
        codebook = dict(codebook or {})
        check_keys(
            codebook, ("decay", "dead_code_threshold", "kmeans_iterations"), f"{WHERE}.codebook"
        )
        codebook |= {"size": codebook_size, "dim": dimension}
        check_arguments(Codebook, codebook, f"{WHERE}.codebook")
        first = _first_codebook(assignment, semantic_clusters, codebook)
        others = [Codebook(**codebook) for _ in range(n_codebooks - 1)]
        self.quantizer = ResidualQuantizer([first, *others], dropout=quantizer_dropout)
        tokens = {"dimension": dimension, "num_tokens": semantic_clusters}
        self.token_source: TokenSource = NoTokens() if assignment == "none" else GivenTokens()
        if predistillation is not None and assignment == "none":
            raise ConfigError(
                f"{WHERE}: predistillation predicts tokens that assignment 'none' never uses;"
                " set assignment to 'sta', or leave predistillation out."
            )
        predicted = _optional(
            Predistillation, predistillation, tokens | {"causal": causal}, "predistillation"
        )
        if predicted is not None:
            self.token_source = predicted
        if distillation is not None and semantic_clusters is None:
            raise _needs_tokens("distillation")
        self.distillation = _optional(build_distillation, distillation, tokens, "distillation")

    def forward(
        self,
        audio: torch.Tensor,
        semantic: torch.Tensor | None = None,
        num_samples: torch.Tensor | None = None,
        part: BatchPart | None = None,
        features: torch.Tensor | None = None,
    ) -> Generated:
        """Encode, quantize and decode.

        Args:
            audio: (B, 1, N) samples.
            semantic: (B, T) semantic tokens, T = ceil(N / hop), where assigned.
            num_samples: (B,) valid samples; None if all N are.
            part: Of a step's batch that these items are; None for all of it.
            features: (B, T, F) the SSL model's features, where `distillation` learns from them.
        """
        if part is None:
            items, frames = len(audio), self.frame_rule.num_frames(audio.shape[-1])
            part = BatchPart.alone(BatchSize(items, 0, items * frames, frames))
        latents, tokens, mask = self._latents(audio, semantic, num_samples, part)
        quantized = self.quantizer(latents, tokens.values, mask, part)
        num_frames = self._num_frames(num_samples)
        # Each a mean over this part: its share of the mean over the whole batch.
        losses = {"codec_commit_loss": quantized.commitment_loss * part.share_of_frames}
        if tokens.loss is not None:
            losses["token_loss"] = tokens.loss * part.share_of_frames
        if self.distillation is not None:
            loss = self.distillation(quantized.first, semantic, features, num_frames)
            losses["distillation_loss"] = loss * part.share_of_items
        decoded = self.decoder(quantized.latents, num_frames)
        return Generated(decoded, quantized, losses, tokens.statistics)

    @property
    def settings(self) -> dict[str, Any]:
        """What decides codes and audio besides the weights."""
        kinds = (WindowedTransformer, CausalTransformer)
        transformers = (m for m in self.modules() if isinstance(m, kinds))
        settings = {
            "sample_rate": self.frame_rule.sample_rate,
            "hop_samples": self.frame_rule.hop_samples,
            "pads_waveform": self.pads_waveform,
            "choices": [codebook.num_choices for codebook in self.codebooks],
            "tokens": type(self.token_source).__name__,
            "transformers": [transformer.settings for transformer in transformers],
        }
        return settings | ({"causal": True} if self.causal else {})

    @property
    def windows(self) -> list[Windows]:
        """The windows of the transformers that encoding goes through."""
        return [m.windows for m in self.modules() if isinstance(m, WindowedTransformer)]

    @property
    def codebooks(self) -> list[Codebook]:
        """The quantizer's codebooks, first to last."""
        return self.quantizer.codebooks

    def codes(
        self,
        audio: torch.Tensor,
        semantic: torch.Tensor | None = None,
        num_samples: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the codes (n_codebooks, B, T); arguments as for `forward`."""
        latents, tokens, mask = self._latents(audio, semantic, num_samples)
        return self.quantizer(latents, tokens.values, mask).codes

    def encode(self, audio: torch.Tensor, num_samples: torch.Tensor | None = None) -> torch.Tensor:
        """Return the latents (B, D, T) before quantization; arguments as for `forward`."""
        num_frames = self._num_frames(num_samples)
        audio = audio.to(next(self.parameters()).dtype)
        if self.pads_waveform:
            hop = self.frame_rule.hop_samples
            audio = nn.functional.pad(audio, (0, -audio.shape[-1] % hop))
            num_samples = None if num_frames is None else num_frames * hop
        latents = self.encoder(audio, num_samples)
        return latents if self.bottleneck is None else self.bottleneck(latents, num_frames)

    def _num_frames(self, num_samples: torch.Tensor | None) -> torch.Tensor | None:
        """Return the valid frames (B,) of valid samples (B,)."""
        return None if num_samples is None else -(-num_samples // self.frame_rule.hop_samples)

    def _latents(
        self,
        audio: torch.Tensor,
        semantic: torch.Tensor | None,
        num_samples: torch.Tensor | None,
        part: BatchPart | None = None,
    ) -> tuple[torch.Tensor, Tokens, torch.Tensor | None]:
        """Return what is quantized: latents (B, D, T), their tokens, and which frames are valid."""
        latents = self.encode(audio, num_samples)
        num_frames = self._num_frames(num_samples)
        tokens = self.token_source(latents, semantic, num_frames, part)
        mask = None if num_frames is None else length_mask(num_frames, latents.shape[-1])
        return latents, tokens, mask

    def begin_codebooks(
        self,
        batches: Iterable[tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None, BatchPart]],
    ) -> None:
        """Place the codebooks' entries by several batches together; arguments as for `forward`."""
        frames, tokens = [], []
        for audio, semantic, num_samples, part in batches:
            with torch.no_grad():
                latents, source, mask = self._latents(audio, semantic, num_samples, part)
            frames.append(valid_frames(latents.float().transpose(1, 2), mask))
            if source.values is not None:
                tokens.append(valid_frames(source.values, mask))
        self.quantizer.begin(frames, tokens)

    def decode(self, codes: torch.Tensor, num_frames: torch.Tensor | None = None) -> torch.Tensor:
        """Return the audio (B, 1, T * hop) of codes (n, B, T) of the first n codebooks."""
        return self.decoder(self.quantizer.decode(codes), num_frames)


def _check_causal(bidirectional: bool | None, input_padding: str) -> None:
    """Raise ConfigError for what needs the future."""
    for wrong, option in (
        (bidirectional, "bidirectional: true (its LSTMs would read backward)"),
        (input_padding != "waveform", f"input_padding '{input_padding}'"),
    ):
        if wrong:
            raise ConfigError(f"{WHERE}: causal does not go with {option}; leave that out.")


def _optional[T](
    factory: Callable[..., T], conf: Mapping[str, Any] | None, sizes: dict[str, Any], name: str
) -> T | None:
    """Build a part of the generator, or nothing where its configuration is None."""
    return None if conf is None else construct(factory, sizes | dict(conf), f"{WHERE}.{name}")


def _first_codebook(assignment: str, num_tokens: int | None, conf: dict[str, Any]) -> Codebook:
    """Return the first layer of the quantizer, which decides the method."""
    layer = choose(FIRST_LAYERS, assignment, f"{WHERE}: assignment")
    if not issubclass(layer, AssignedCodebook):
        return layer(**conf)
    if num_tokens is None:
        raise _needs_tokens(f"assignment '{assignment}'")
    return layer(num_tokens, **conf)


def _needs_tokens(what: str) -> ConfigError:
    return ConfigError(
        f"{what} needs semantic tokens: train with"
        " `python -m espnet_stacodec.bin.train --semantic_tokenizer DIR`"
        " (ESPnet's own gan_codec_train would drop them)."
    )

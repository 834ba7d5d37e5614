"""Causal codecs with random weights whose codes are as different as those of trained ones."""

import itertools
from typing import Any

import numpy as np
import torch

from espnet_stacodec import AudioCoding
from espnet_stacodec.gan_codec.batch_part import BatchPart, BatchSize
from espnet_stacodec.gan_codec.generator import STACodecGenerator
from espnet_stacodec.gan_codec.tokens.predistillation import Predistillation

HOP = 320
SIZES: dict[str, Any] = {
    "dimension": 8,
    "n_filters": 4,
    "ratios": [8, 5, 4, 2],
    "lstm_layers": 1,
    "n_codebooks": 3,
    "codebook_size": 16,
    "semantic_clusters": 8,
}
TRANSFORMER = {"hidden": 16, "layers": 2, "heads": 2, "feed_forward": 24, "context_frames": 7}


STACK = {"channels": 8, "blocks": 2, "kernel": 3}
#: Of a codec whose networks are those on spectra, its tokens predicted by a convolution.
SPECTRAL: dict[str, Any] = {
    "spectral": {"encoder": STACK, "decoder": STACK},
    "bottleneck": None,
    "predistillation": {"convolution": STACK | {"lookahead_frames": 2}},
}


def transformer(lookahead_frames: int) -> dict[str, Any]:
    return TRANSFORMER | {"lookahead_frames": lookahead_frames}


def speech(num_samples: int, seed: int) -> np.ndarray:
    """Return (N,) float32 noise whose loudness and colour change, as those of speech do."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal(num_samples)
    steps = np.repeat(rng.uniform(-1, 1, num_samples // 500 + 1), 500)[:num_samples]
    return (0.1 * (1 + steps) * (white + 2 * steps * np.roll(white, 1))).astype(np.float32)


def build_generator(
    lookaheads: tuple[int, int] = (1, 2), seed: int = 0, **params: Any
) -> STACodecGenerator:
    """Return a causal generator whose bottleneck and SPD look ahead by that many frames."""
    torch.manual_seed(seed)
    parts: dict[str, Any] = {
        "bottleneck": transformer(lookaheads[0]),
        "predistillation": {"transformer": transformer(lookaheads[1])},
    }
    generator = STACodecGenerator(16000, **SIZES | parts | params, causal=True)
    with torch.no_grad():
        for name, parameter in generator.encoder.named_parameters():
            # Without it the audio outweighs the biases, as it does in a trained encoder.
            if name.endswith("bias"):
                parameter.zero_()
        if isinstance(generator.bottleneck, torch.nn.Module):
            # A context that counts, and later frames too, which a new bottleneck leaves out.
            generator.bottleneck.norm.weight.fill_(3.0)
            generator.bottleneck.in_projection.weight.normal_(0, 0.3)
        generator.eval()
        audio = torch.from_numpy(speech(60 * HOP, 99))[None, None]
        latents = generator.encode(audio)
        source = generator.token_source
        if isinstance(source, Predistillation):
            # Each token is the most likely one of some frames.
            logits = source.logits(latents)[0]
            mean, deviation = logits.mean(0), logits.std(0)
            head = source.head if source.convolution is None else source.convolution.project
            head.weight.div_(deviation.unsqueeze(1))
            head.bias.sub_(mean).div_(deviation)
        semantic = torch.arange(60)[None] % 8
        part = BatchPart.alone(BatchSize(1, 60 * HOP, 60, 60))
        generator.begin_codebooks([(audio, semantic, None, part)])
        generator.quantizer.updates.fill_(1)
    return generator


def build_codec(
    lookaheads: tuple[int, int] = (1, 2), seed: int = 0, precision: str = "float64", **params: Any
) -> AudioCoding:
    """Return the codec of `build_generator`; in float64 equality is no matter of rounding."""
    return AudioCoding(build_generator(lookaheads, seed, **params), precision=precision)


def cuts(length: int, seed: int, longest: int) -> list[int]:
    """Return random sizes of pieces, some of them 0, that add up to `length`."""
    rng = np.random.default_rng(seed)
    sizes: list[int] = []
    while (left := length - sum(sizes)) > 0:
        sizes.append(min(left, int(rng.choice([rng.integers(0, 4), rng.integers(0, longest + 1)]))))
    return sizes


def cut(signal: np.ndarray | torch.Tensor, sizes: list[int]) -> list[Any]:
    """Return pieces of these sizes of the last dimension."""
    starts = np.cumsum([0, *sizes])
    return [signal[..., a:b] for a, b in itertools.pairwise(starts)]

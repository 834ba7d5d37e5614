"""The two directions of a causal codec on pieces: what is remembered, a step, the end."""

import dataclasses
from typing import TYPE_CHECKING, cast

import torch

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.gan_codec.causal import CausalTransformer
from espnet_stacodec.gan_codec.generator import WHERE, STACodecGenerator
from espnet_stacodec.gan_codec.lookahead import Lookahead, delayed
from espnet_stacodec.gan_codec.tokens.predistillation import Predistillation
from espnet_stacodec.streaming.networks import Steps, steps_of
from espnet_stacodec.streaming.state import State

if TYPE_CHECKING:
    from espnet_stacodec.gan_codec.builtin import BuiltinGenerator

# The most frames that are computed together: more need more memory, and gain nothing.
STEP_FRAMES = 50
BOTTLENECK, PREDISTILLATION = "bottleneck", "predistillation"


@dataclasses.dataclass(frozen=True)
class Frames:
    """Frames that are ready to be quantized.

    Attributes:
        latents: (B, D, F).
        tokens: (B, F) predicted ones; None where the codec predicts none.
    """

    latents: torch.Tensor
    tokens: torch.Tensor | None


class EncoderSteps:
    """Encodes audio of several streams frame by frame.

    Args:
        generator: A causal one, in eval mode.
        step_frames: The most frames of a step.

    Raises:
        ConfigError: If the generator is not causal.
    """

    def __init__(self, generator: STACodecGenerator, step_frames: int = STEP_FRAMES) -> None:
        check_causal(generator)
        self.generator = generator
        self.step_frames = step_frames
        self.encoder = steps_of(generator.encoder, "encoder")
        self.bottleneck = cast(CausalTransformer | None, generator.bottleneck)
        source = generator.token_source
        self.source = source if isinstance(source, Predistillation) else None

    def state(self, streams: int) -> State:
        """Return what new streams remember."""
        tensors = dict(self.encoder.memory(streams))
        if self.bottleneck is not None:
            tensors |= self.bottleneck.memory(streams, self.step_frames, BOTTLENECK)
        if self.source is not None:
            tensors |= self.source.memory(streams, self.step_frames, PREDISTILLATION)
            # The latents of the frames whose tokens are not known yet.
            ahead = tensors[f"{PREDISTILLATION}.ahead"]
            tensors["waiting"] = torch.zeros_like(ahead)
        return State(tensors)

    def step(self, audio: torch.Tensor, state: State) -> Frames:
        """Encode the next frames.

        Args:
            audio: (B, 1, F * hop), at most `step_frames` frames.
            state: Of the B streams, which is changed. They have had equally many frames, or all
                of them more than are looked ahead at.

        Returns:
            The frames that now are known to be complete.
        """
        latents = self.encoder(audio.to(next(self.generator.parameters()).dtype), state)
        if self.bottleneck is not None:
            latents = self.bottleneck.step(latents, state, BOTTLENECK)
        return self._predict(latents, state)

    def finish(self, state: State) -> Frames:
        """Return the frames that wait for later ones, which never come: zeros take their place."""
        dimension = self.generator.codebooks[0].embed.shape[1]
        streams = len(next(iter(state.values())))
        latents = next(self.generator.parameters()).new_zeros(streams, dimension, 0)
        if self.bottleneck is not None:
            nothing = torch.zeros_like(state[f"{BOTTLENECK}.ahead"])
            latents = self.bottleneck.step(nothing, state, BOTTLENECK)
        parts = [self._predict(latents, state)]
        if self.source is not None:
            parts.append(self._predict(torch.zeros_like(state["waiting"]), state))
        tokens = [part.tokens for part in parts if part.tokens is not None]
        latents = torch.cat([part.latents for part in parts], 2)
        return Frames(latents, torch.cat(tokens, 1) if tokens else None)

    def codes(self, frames: Frames) -> torch.Tensor:
        """Return the codes (n_codebooks, B, F) of frames."""
        batch, _, number = frames.latents.shape
        if not number:
            shape = (len(self.generator.codebooks), batch, 0)
            return torch.zeros(shape, dtype=torch.long, device=frames.latents.device)
        return self.generator.quantizer(frames.latents, frames.tokens).codes

    def _predict(self, latents: torch.Tensor, state: State) -> Frames:
        """latents: (B, D, F) of the next frames, zeros after the last; the tokens may wait."""
        if self.source is None:
            return Frames(latents, None)
        received = int(state[f"{PREDISTILLATION}.received"].min())
        tokens = self.source.step(latents, state, PREDISTILLATION)
        joined, missing = delayed(latents, state["waiting"], received)
        return Frames(joined[..., missing : missing + tokens.shape[1]], tokens)


class DecoderSteps:
    """Decodes latents of several streams frame by frame.

    Args:
        generator: A causal one, in eval mode.

    Raises:
        ConfigError: If the generator is not causal.
    """

    def __init__(self, generator: STACodecGenerator) -> None:
        check_causal(generator)
        self.generator = generator
        self.decoder: Steps = steps_of(generator.decoder, "decoder")

    def state(self, streams: int) -> State:
        """Return what new streams remember."""
        return State(self.decoder.memory(streams))

    def step(self, latents: torch.Tensor, state: State) -> torch.Tensor:
        """Return the audio (B, 1, F * hop) of the next latents (B, D, F); changes the state."""
        return self.decoder(latents, state)


def check_causal(generator: torch.nn.Module) -> None:
    """Raise ConfigError if a generator, of this package or of ESPnet, cannot stream."""
    if not (isinstance(generator, STACodecGenerator) and generator.causal):
        raise ConfigError(
            "This codec cannot stream, as its networks see later frames; take small_streaming,"
            f" which is shipped, or train one with {WHERE}.causal: true, e.g."
            " conf/train_spd_streaming.yaml."
        )


def can_encode_streams(generator: "STACodecGenerator | BuiltinGenerator") -> bool:
    """Return whether audio can be encoded as it comes: causally, with tokens of the codec's own."""
    return generator.causal and not generator.token_source.needs_tokens


def lookahead_frames(generator: torch.nn.Module) -> int:
    """Return how many later frames the codes of a causal generator depend on."""
    return sum(part.frames for part in generator.modules() if isinstance(part, Lookahead))


def latency_seconds(generator: "STACodecGenerator | BuiltinGenerator") -> float:
    """Return the time from a sample to the code of its frame: a frame and the lookahead."""
    return (1 + lookahead_frames(generator)) / generator.frame_rule.frame_rate_hz

"""Long audio through a causal codec, step by step: what the whole gives, in little memory."""

import torch

from espnet_stacodec.gan_codec.generator import STACodecGenerator
from espnet_stacodec.streaming.coder import DecoderSteps, EncoderSteps, Frames

# Longer steps share the reading of weights among more frames; attention grows with the square.
STEP_FRAMES = 500


def encode(
    generator: STACodecGenerator, wave: torch.Tensor, tokens: torch.Tensor | None
) -> torch.Tensor:
    """Return the codes (n_codebooks, T) of samples (N,).

    Args:
        generator: A causal one, in eval mode.
        wave: On the generator's device.
        tokens: (T,) semantic tokens; None where the codec needs none.
    """
    steps = EncoderSteps(generator, STEP_FRAMES)
    state = steps.state(1)
    hop = generator.frame_rule.hop_samples
    padded = torch.nn.functional.pad(wave, (0, -len(wave) % hop))
    codes: list[torch.Tensor] = []
    done = 0

    def quantize(frames: Frames) -> None:
        nonlocal done
        number = frames.latents.shape[2]
        if tokens is not None:
            frames = Frames(frames.latents, tokens[None, done : done + number])
        codes.append(steps.codes(frames)[:, 0])
        done += number

    for piece in padded.split(STEP_FRAMES * hop):
        quantize(steps.step(piece[None, None], state))
    quantize(steps.finish(state))
    return torch.cat(codes, 1)


def decode(generator: STACodecGenerator, codes: torch.Tensor) -> torch.Tensor:
    """Return the audio (T * hop,) of codes (n, T), on the generator's device."""
    steps = DecoderSteps(generator)
    state = steps.state(1)
    pieces = codes.unsqueeze(1).split(STEP_FRAMES, 2)
    return torch.cat(
        [steps.step(generator.quantizer.decode(piece), state)[0, 0] for piece in pieces]
    )

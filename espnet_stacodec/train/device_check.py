"""What a device makes of a full-size codec: steps of its training, encoding and decoding.

Nothing but a codec's configuration and audio is needed: semantic tokens are made of the audio by
random directions, so that they can be learned, but mean nothing.
"""

import dataclasses
import itertools
import logging
import math
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.gan_codec.espnet_model import ESPnetSTACodecModel
from espnet_stacodec.gan_codec.stacodec import STACodec
from espnet_stacodec.inference.audio_coding import AudioCoding
from espnet_stacodec.train.device_check_data import (
    NUM_TOKENS,
    SAMPLE_RATE,
    RandomTokens,
    batches,
)
from espnet_stacodec.train.gan_steps import GANSteps

if TYPE_CHECKING:
    from espnet2.train.gan_trainer import GANTrainerOptions
    from espnet2.train.reporter import SubReporter

WARM_UP_STEPS = 5  # the first one begins the codebooks; kernels are chosen in the next ones
GIGA = 1e9


@dataclasses.dataclass
class LoopOptions:
    """The options of ESPnet that the training loop reads; ESPnet's defaults."""

    ngpu: int = 0
    accum_grad: int = 1
    grad_noise: bool = False
    grad_clip: float = -1.0
    grad_clip_type: float = 2.0
    no_forward_run: bool = False
    generator_first: bool = False
    skip_discriminator_prob: float = 0.0
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Training:
    """What some steps of a training took and gave.

    Attributes:
        configuration: Name of the configuration.
        precision: A key of `PRECISIONS`.
        steps: How many were made.
        first_step_seconds: The first step, in which codebooks begin.
        step_seconds: Mean time of a step after the first ones.
        memory_gb: Peak of the device's memory; 0 on a CPU.
        skipped: Steps whose loss of the generator was not finite.
        first, last: Means of the logged figures over the first and the last tenth of the steps.
    """

    configuration: str
    precision: str
    steps: int
    first_step_seconds: float
    step_seconds: float
    memory_gb: float
    skipped: int
    first: dict[str, float]
    last: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Coding:
    """Encoding and decoding on a device, beside a CPU.

    Attributes:
        configuration: Name of the configuration.
        device: Where; and so are
        batch_size: how many waveforms at a time,
        precision: and what in.
        encode_speed, decode_speed: Seconds of audio per second.
        equal_codes: Share of the codes that are the CPU's.
        equal_first_codes: The same for the first codebook.
        largest_difference: Between the waveforms that are decoded from the CPU's codes.
    """

    configuration: str
    device: str
    batch_size: int
    precision: str
    encode_speed: float
    decode_speed: float
    equal_codes: float
    equal_first_codes: float
    largest_difference: float


class Figures:
    """Keeps what the training loop reports."""

    epoch = 1

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = [{}]

    def register(self, stats: Mapping[str, Any], weight: int | None = None) -> None:
        """Take figures of this step."""
        self.steps[-1] |= {name: float(value) for name, value in stats.items()}

    def next(self) -> None:
        """Begin the next step."""
        self.steps.append({})

    def mean(self, steps: slice) -> dict[str, float]:
        """Return the means over some steps of all figures but times and rates."""
        kept = [step for step in self.steps if step][steps]
        names = {name for step in kept for name in step if not name.endswith(("_time", "_lr0"))}
        return {
            name: statistics.fmean(step[name] for step in kept if name in step)
            for name in sorted(names)
        }


# What the networks compute in: torch's precision of float32 matrix products, and autocast. "high"
# rounds their factors to 10 bits (TF32), where the device has such products.
PRECISIONS: dict[str, tuple[str, torch.dtype | None]] = {
    "float32": ("highest", None),
    "tf32": ("high", None),
    "bfloat16": ("highest", torch.bfloat16),
}


def build_codec(conf: Mapping[str, Any]) -> STACodec:
    """Build the codec of a training configuration, with an adversary from the first step on.

    Raises:
        ConfigError: If it is not a configuration of this codec.
    """
    if conf.get("codec") != "stacodec":
        raise ConfigError(f"codec: {conf.get('codec')} cannot be checked; give one of stacodec's.")
    torch.manual_seed(0)
    codec_conf = dict(conf["codec_conf"])
    generator = {"semantic_clusters": NUM_TOKENS, **codec_conf.pop("generator_params", {})}
    sizes = {"codebook_size": max(generator.get("codebook_size", 1024), NUM_TOKENS)}
    changes = {"generator_params": generator | sizes, "adversary_start_step": 0}
    return STACodec(**codec_conf | changes)


def train(
    name: str,
    conf: Mapping[str, Any],
    precision: str,
    waves: Sequence[torch.Tensor],
    device: str,
    steps: int,
    batch_size: int,
    max_seconds: float,
) -> tuple[Training, STACodec]:
    """Make some steps of a training, at the configuration's highest learning rate from the start.

    Args:
        name: Of the configuration.
        conf: The configuration.
        precision: A key of `PRECISIONS`.
        waves: Audio (N,) at 16 kHz, each of at least a chunk.
        device: cpu or cuda.
        steps: How many steps.
        batch_size: Chunks per step.
        max_seconds: No step is begun after so many seconds.
    """
    codec = build_codec(conf).to(device)
    parts = (codec.generator, codec.discriminator)
    optimizers = [
        torch.optim.Adam(part.parameters(), **conf[key])
        for part, key in zip(parts, ("optim_conf", "optim2_conf"), strict=True)
    ]
    figures = Figures()
    products, autocast = PRECISIONS[precision]
    options = LoopOptions(ngpu=int(device != "cpu"))
    model = ESPnetSTACodecModel(codec).train()
    loop = GANSteps(
        model,
        optimizers,
        [None, None],
        cast("SubReporter", figures),
        cast("GANTrainerOptions", options),
        autocast,
    )
    samples = int(conf["chunk_length"])
    made = batches(waves, codec.frame_rule, samples, batch_size, steps)
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(products)
    durations = _durations(loop.run(made), device, max_seconds)
    torch.set_float32_matmul_precision(before)
    tenth = max(1, len(durations) // 10)
    losses = [step for step in figures.steps if "loss" in step]
    skipped = sum(not math.isfinite(step["loss"]) for step in losses)
    result = Training(
        name,
        precision,
        len(durations),
        durations[0],
        statistics.fmean(durations[WARM_UP_STEPS:] or durations[-1:]),
        0.0 if device == "cpu" else torch.cuda.max_memory_allocated() / GIGA,
        skipped,
        figures.mean(slice(tenth)),
        figures.mean(slice(-tenth, None)),
    )
    logging.info("%s", result)
    return result, codec


def _durations(steps: Iterable[object], device: str, max_seconds: float) -> list[float]:
    """Return how long each step takes (s); none is begun after `max_seconds`."""
    times = [_now(device)]
    for _ in steps:
        times.append(_now(device))
        if times[-1] - times[0] > max_seconds:
            break
    return [end - start for start, end in itertools.pairwise(times)]


def code(
    name: str,
    codec: STACodec,
    waves: Sequence[torch.Tensor],
    device: str,
    batch_sizes: Sequence[int],
) -> list[Coding]:
    """Encode and decode audio on a CPU one by one, then on a device in batches.

    Args:
        name: Of the configuration.
        codec: A trained codec.
        waves: Audio (N,) at 16 kHz.
        device: The other device.
        batch_sizes: To try there.
    """
    tokens = RandomTokens(codec.frame_rule)
    given = [tokens(wave) for wave in waves] if codec.needs_tokens else None
    seconds = sum(map(len, waves)) / SAMPLE_RATE
    lengths = [len(wave) for wave in waves]
    generator = codec.generator.cpu()
    results: list[Coding] = []
    expected: tuple[list[torch.Tensor], list[torch.Tensor]] | None = None
    ways = [("cpu", 1, "float32"), *((device, size, "float32") for size in batch_sizes)]
    ways.append((device, batch_sizes[-1], "bfloat16"))
    for where, batch_size, precision in ways:
        coder = AudioCoding(generator, device=where, precision=precision)
        # The first call chooses kernels and takes memory.
        coder.decode(coder.encode(waves[:1], SAMPLE_RATE, given and given[:1]), lengths[:1])
        start = _now(where)
        codes = coder.encode(waves, SAMPLE_RATE, given, batch_size)
        middle = _now(where)
        audio = coder.decode(expected[0] if expected else codes, lengths, batch_size)
        end = _now(where)
        expected = expected or (codes, audio)
        equal = torch.cat([a == b for a, b in zip(codes, expected[0], strict=True)], 1).float()
        results.append(
            Coding(
                name,
                where,
                batch_size,
                precision,
                seconds / (middle - start),
                seconds / (end - middle),
                equal.mean().item(),
                equal[0].mean().item(),
                max((a - b).abs().max().item() for a, b in zip(audio, expected[1], strict=True)),
            )
        )
        logging.info("%s", results[-1])
    return results


def _now(device: str) -> float:
    """Return the time (s) when the device has done what was queued."""
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()

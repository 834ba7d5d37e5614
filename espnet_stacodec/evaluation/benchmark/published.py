"""Coding beside the networks of the published implementation, with the same random weights.

Its code is imported from a checkout that the user has, as it is. What its command does besides
(prints, further passes through the encoder) is left out: each of its networks runs once.
"""

import dataclasses
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn
from typeguard import typechecked

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.evaluation.benchmark.systems import NUM_TOKENS, SAMPLE_RATE
from espnet_stacodec.evaluation.benchmark.timing import side_by_side
from espnet_stacodec.fileio.markdown import markdown_table
from espnet_stacodec.gan_codec.generator import STACodecGenerator
from espnet_stacodec.inference.audio_coding import AudioCoding
from espnet_stacodec.pretrained.official_checkpoint import PREDICTION, convert

MODULES = ("modules.seanet", "quantization.vq", "auxiliary_tasks.token_pred_transformer")
# Of the paper's size, the later one over the earlier one.
NETWORKS = ("default.yaml", "past_transformer_encoder_1024_8.yaml")
TASKS = "solver/auxiliary_tasks/default.yaml"


@dataclasses.dataclass(frozen=True)
class Published:
    """The networks of the published codec, by the beginning of their weights' names.

    Attributes:
        config: Of the form that checkpoints hold (omegaconf).
        parts: The networks.
    """

    config: Any
    parts: dict[str, Any]

    def generator(self, with_spd: bool) -> STACodecGenerator:
        """Return ours with the same weights; without SPD it needs tokens."""
        weights = {
            prefix + name: value
            for prefix, part in self.parts.items()
            for name, value in part.state_dict().items()
            if with_spd or prefix != PREDICTION
        }
        same = convert(self.config, weights)
        params = {"semantic_clusters": NUM_TOKENS} | same.generator_params
        generator = STACodecGenerator(same.sample_rate, **params)
        generator.load_state_dict(same.state)
        return generator

    def encode(self, audio: torch.Tensor, tokens: torch.Tensor | None) -> torch.Tensor:
        """Return the codes (K, T) of audio (1, 1, N); tokens: (1, T), None to predict them."""
        latents = self.parts["encoder."](audio)
        if tokens is None:
            tokens = self.parts[PREDICTION](latents.transpose(1, 2)).argmax(2)
        return self.parts["quantizer."].encode(latents, ssl_labels=tokens)[0]

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the audio (1, 1, 320 T) of codes (K, T)."""
        return self.parts["decoder."](self.parts["quantizer."].decode(codes[None]))


@typechecked
def import_modules(checkout: Path) -> list[ModuleType]:
    """Import the published networks.

    Raises:
        ConfigError: If there is no such checkout, or something that it imports is not installed.
    """
    package = checkout / "past"
    if not (package / "models" / "past_model.py").is_file():
        raise ConfigError(
            f"--published {checkout}: it has no past/models/past_model.py; give a checkout of"
            " https://github.com/epcm/STACodec."
        )
    sys.path.insert(0, str(checkout.resolve()))
    try:
        return [importlib.import_module(f"past.{name}") for name in MODULES]
    except ImportError as error:
        raise ConfigError(
            f"--published {checkout}: its networks cannot be imported ({error}); docs/api.md says,"
            " at `stacodec benchmark`, how to install what they need."
        ) from error
    finally:
        sys.path.remove(str(checkout.resolve()))


@typechecked
def compare(checkout: Path, seconds: float, threads: int, repeats: int) -> str:
    """Return a table of coding `seconds` of noise with the published networks and with ours.

    Raises:
        ConfigError: As `import_modules` does.
    """
    torch.set_num_threads(threads)
    theirs = build(import_modules(checkout), read_config(checkout))
    wave = np.random.default_rng(0).normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)
    audio = torch.from_numpy(wave)[None, None]
    sta, spd = (AudioCoding(theirs.generator(with_spd)) for with_spd in (False, True))
    tokens = torch.arange(sta.frame_rule.num_frames(len(wave)))[None] % NUM_TOKENS
    given = tokens[0].numpy()
    with torch.inference_mode():
        codes = theirs.encode(audio, tokens)
        ways = {
            "encode, tokens given": (
                lambda: theirs.encode(audio, tokens),
                lambda: sta.encode(wave, SAMPLE_RATE, given),
            ),
            "encode with SPD": (
                lambda: theirs.encode(audio, None),
                lambda: spd.encode(wave, SAMPLE_RATE),
            ),
            "decode": (lambda: theirs.decode(codes), lambda: sta.decode(codes)),
        }
        rows = []
        for work, (published, here) in ways.items():
            times = side_by_side({"published": published, "here": here}, repeats)
            base, found = times["published"], times["here"]
            same = "-"
            if work != "decode":
                same = f"{100 * (published() == here()).float().mean().item():.2f}"
            rows.append([work, f"{base:.2f}", f"{found:.2f}", f"{found / base:.2f}", same])
    headings = ["work", "published (s)", "here (s)", "ratio", "equal codes (%)"]
    return markdown_table(headings, rows) + "\n"


def read_config(checkout: Path) -> Any:
    """Return the configuration (omegaconf) of the paper's size."""
    from omegaconf import OmegaConf

    folder = checkout / "config"
    return OmegaConf.merge(
        *(OmegaConf.load(folder / "model" / "encodec" / name) for name in NETWORKS),
        {"auxiliary_tasks": OmegaConf.load(folder / TASKS)},
        {"channels": 1, "sample_rate": SAMPLE_RATE},
    )


def build(modules: Sequence[Any], config: Any) -> Published:
    """Return the networks of a configuration, with random weights.

    As `past.models.builders` does, which cannot be imported: it needs a package that the
    repository does not have.
    """
    from omegaconf import OmegaConf

    torch.manual_seed(0)
    seanet, vq, prediction = modules
    conf: Any = OmegaConf.to_container(config, resolve=True)
    sizes = conf["seanet"]
    of_encoder, of_decoder = sizes.pop("encoder"), sizes.pop("decoder")
    transformer = sizes.pop("transformer_params")
    head = conf["auxiliary_tasks"]["token_pred"]["transformer_params"]
    parts: dict[str, nn.Module] = {
        "encoder.": seanet.SEANetEncoder(**sizes | of_encoder, transformer_params=transformer),
        "decoder.": seanet.SEANetDecoder(**sizes | of_decoder),
        # Entries, as a training would give them, and not from the first audio.
        "quantizer.": vq.ResidualVectorQuantizer(
            **conf["rvq"] | {"kmeans_init": False}, dimension=sizes["dimension"]
        ),
        PREDICTION: prediction.TokenPredictTransformer(head, None, output_dim=NUM_TOKENS),
    }
    for part in parts.values():
        part.eval()
    for name, buffer in parts["quantizer."].named_buffers():
        if name.endswith("embed"):
            buffer.normal_()
        elif name.endswith("cluster_size"):
            buffer.fill_(1)
    return Published(config, parts)

"""docs/configuration.md has a line for each key that the code reads, with its default."""

import dataclasses
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml
from documents import ROOT, inline_code, section, table

from espnet_stacodec.encoder.convolution import ConvolutionEncoder
from espnet_stacodec.frontend.code_mixture import CodeMixtureFrontend
from espnet_stacodec.frontend.stacodec import STACodecFrontend
from espnet_stacodec.gan_codec import discriminator, stacodec
from espnet_stacodec.gan_codec.bottleneck import Bottleneck
from espnet_stacodec.gan_codec.causal import CausalBottleneck
from espnet_stacodec.gan_codec.causal_convnext import CausalConvNeXt
from espnet_stacodec.gan_codec.causal_spectral import (
    CausalSpectralDecoder,
    CausalSpectralEncoder,
)
from espnet_stacodec.gan_codec.convnext import ConvNeXt
from espnet_stacodec.gan_codec.generator import STACodecGenerator
from espnet_stacodec.gan_codec.quantizer.codebook import Codebook
from espnet_stacodec.gan_codec.spectral import SpectralDecoder, SpectralEncoder
from espnet_stacodec.gan_codec.spectral_losses import CompressedSTFTLoss, MultiScaleMelLoss
from espnet_stacodec.gan_codec.tokens.distillation import build_distillation
from espnet_stacodec.gan_codec.tokens.predistillation import Predistillation
from espnet_stacodec.gan_codec.tokens.span_mask import SpanMask
from espnet_stacodec.iterators.augmentation import Augmentation
from espnet_stacodec.semantic.tokenizer_info import UpstreamConfig

sys.path.insert(0, str(ROOT / "egs2/TEMPLATE/codec1/local"))

import ablation_variants
from ablation_measures import Probe

PAGE = ROOT / "docs/configuration.md"
REQUIRED = "required"
# What the code around a part gives it, and a configuration does not.
GIVEN = {
    "generator_params": {"sample_rate"},
    "codebook": {"size", "dim"},
    "bottleneck": {"dimension"},
    "bottleneck of a causal codec": {"dimension"},
    "predistillation": {"dimension", "num_tokens", "causal"},
    "distillation": {"dimension", "num_tokens", "feature_dim"},
    "mel_loss_params": {"sample_rate"},
    "spectral.encoder": {"dimension", "hop_samples"},
    "spectral.decoder": {"dimension", "hop_samples"},
    "spectral.encoder of a causal codec": {"dimension", "hop_samples"},
    "spectral.decoder of a causal codec": {"dimension", "hop_samples"},
    "convolution": {"inputs", "outputs"},
    "convolution of a causal codec": {"inputs", "outputs"},
    "augmentation_conf": {"sample_rate"},
    "probes": {"name"},
}
PARTS: dict[str, Callable] = {
    "`codec_conf`": stacodec.STACodec,
    "`generator_params`": STACodecGenerator,
    "`codebook`": Codebook,
    "`bottleneck`": Bottleneck,
    "`bottleneck` of a causal codec": CausalBottleneck,
    "`predistillation`": Predistillation,
    "`masking`": SpanMask,
    "`distillation`": build_distillation,
    "`spectral.encoder`": SpectralEncoder,
    "`spectral.decoder`": SpectralDecoder,
    "`spectral.encoder` of a causal codec": CausalSpectralEncoder,
    "`spectral.decoder` of a causal codec": CausalSpectralDecoder,
    "`convolution`": ConvNeXt,
    "`convolution` of a causal codec": CausalConvNeXt,
    "`mel_loss_params`": MultiScaleMelLoss,
    "`stft_loss_params`": CompressedSTFTLoss,
    "`augmentation_conf`": Augmentation,
    "Semantic tokenizer": UpstreamConfig,
    "Frontend `code_mixture`": CodeMixtureFrontend,
    "Encoder `convolution`": ConvolutionEncoder,
    "`probes`": Probe,
}


def documented(heading: str) -> dict[str, Any]:
    """Return the keys and defaults of a section's table."""
    rows = table(section(PAGE, heading))
    keys = [row[0].strip("`") for row in rows]
    assert len(keys) == len(set(keys)), f"{heading}: a key has two lines"
    return {key: yaml.safe_load(row[1].strip("`")) for key, row in zip(keys, rows, strict=True)}


def plain(value: Any) -> Any:
    """Return a default as YAML has it."""
    if value is inspect.Parameter.empty:
        return REQUIRED
    return yaml.safe_load(yaml.safe_dump(list(value) if isinstance(value, tuple) else value))


def defaults(part: Callable) -> dict[str, Any]:
    parameters = inspect.signature(part).parameters.values()
    return {p.name: plain(p.default) for p in parameters if p.kind is not p.VAR_KEYWORD}


@pytest.mark.parametrize("heading", PARTS)
def test_keys_and_defaults_of_a_part(heading):
    given = GIVEN.get(heading.replace("`", ""), set())
    expected = {k: v for k, v in defaults(PARTS[heading]).items() if k not in given}
    assert documented(heading) == expected


def test_keys_of_the_discriminator():
    parts = (discriminator.DiscriminatorSTFT, discriminator.MultiScaleSTFTDiscriminator)
    every = defaults(parts[0]) | defaults(parts[1])
    known = {key: every[key] for key in discriminator.discriminator_keys()}
    assert documented("`discriminator_params`") == known | {"filters": 32}


def test_weights_of_the_losses():
    assert documented("`loss_weights`") == stacodec.LOSS_WEIGHTS


def test_options_of_the_training_that_espnet_does_not_have():
    from espnet2.tasks.gan_codec import GANCodecTask

    from espnet_stacodec.bin import train

    ours, theirs = (
        {action.dest: action.default for action in command.get_parser()._actions}
        for command in (train, GANCodecTask)
    )
    added = {key: plain(ours[key]) for key in ours if ours[key] != theirs.get(key, REQUIRED)}
    assert documented("Training options") == added


def test_keys_of_the_codec_frontend():
    text = section(ROOT / "docs/espnet.md", "A codec as frontend")
    keys = [row[0].strip("`") for row in table(text)]
    assert sorted(keys) == sorted(defaults(STACodecFrontend))


def test_keys_of_a_variant():
    keys = [row[0].strip("`") for row in table(section(PAGE, "`ablations.yaml`"))]
    assert sorted(keys) == sorted(ablation_variants.OWN_KEYS)


def known_keys() -> Mapping[str, Callable | None]:
    """Return every key of a codec's configuration, with what reads what is below it."""
    below: Mapping[str, Callable] = {
        "codebook": Codebook,
        "bottleneck": Bottleneck,
        "transformer": Bottleneck,
        "predistillation": Predistillation,
        "masking": SpanMask,
        "distillation": build_distillation,
    }
    return {key: below.get(key) for part in PARTS.values() for key in defaults(part)}


def test_keys_in_the_text_exist():
    """Inline code of the form `key: value`."""
    codec_keys = known_keys()
    for code in inline_code(PAGE):
        if not code.startswith(("assignment:", "bottleneck:", "predistillation:", "quantizer_")):
            continue
        content = yaml.safe_load(code)
        while isinstance(content, dict) and content:
            (key, content), *_ = content.items()
            assert key in codec_keys, code


def test_every_configuration_of_a_codec_uses_documented_keys():
    """Those that are shipped; deeper keys are checked where they are built."""
    keys = set(documented("`generator_params`"))
    for path in sorted((ROOT / "egs2").glob("*/codec1/conf/train_*.yaml")):
        conf = yaml.safe_load(path.read_text(encoding="utf-8"))
        if conf["codec"] == "stacodec":
            assert set(conf["codec_conf"]["generator_params"]) <= keys, path


def test_api_has_every_member_of_the_class():
    from espnet_stacodec import AudioCoding

    text = " ".join(inline_code(ROOT / "docs/api.md"))
    for name, member in inspect.getmembers(AudioCoding):
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            assert f"codec.{name}" in text, name
            continue
        owner = "AudioCoding" if inspect.ismethod(member) else "codec"
        assert call(f"{owner}.{name}", member) in text, call(f"{owner}.{name}", member)
    assert call("AudioCoding", AudioCoding) in text


def test_api_has_the_fields_of_codes():
    from espnet_stacodec.fileio.code_files import Codes

    text = section(ROOT / "docs/api.md", "Codes in files")
    assert all(f"`{field.name}`" in text for field in dataclasses.fields(Codes))


def call(name: str, function: Callable) -> str:
    """Return how a function is called: names and defaults of its arguments."""
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    words = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]
    return f"{name}({', '.join(words)})"

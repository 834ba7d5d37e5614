"""The generator: what its arguments build, and that lengths reach every part."""

import pytest
import torch

from espnet_stacodec.errors import ConfigError, TokenError
from espnet_stacodec.gan_codec.generator import STACodecGenerator
from espnet_stacodec.gan_codec.quantizer.assignment import (
    AssignedCodebook,
    FrozenAssignedCodebook,
)
from espnet_stacodec.gan_codec.quantizer.codebook import Codebook
from espnet_stacodec.gan_codec.tokens.source import GivenTokens, NoTokens


def build(**changes) -> STACodecGenerator:
    torch.manual_seed(0)
    conf = {
        "sample_rate": 16000,
        "dimension": 6,
        "n_filters": 2,
        "ratios": [5, 2],
        "lstm_layers": 1,
        "n_codebooks": 3,
        "codebook_size": 8,
        "semantic_clusters": 5,
    }
    return STACodecGenerator(**conf | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("assignment", "layer", "source"),
    [
        ("sta", AssignedCodebook, GivenTokens),
        ("frozen", FrozenAssignedCodebook, GivenTokens),
        ("none", Codebook, NoTokens),
    ],
)
def test_the_assignment_decides_the_first_layer(assignment, layer, source):
    generator = build(assignment=assignment)
    kinds = [type(la) for la in generator.quantizer.layers]
    assert kinds == [layer, Codebook, Codebook]
    assert type(generator.token_source) is source


SMALL_TRANSFORMER = {
    "hidden": 8, "layers": 1, "heads": 2, "feed_forward": 8, "window": 10, "overlap": 2,
}  # fmt: skip
ABLATIONS: dict[str, dict] = {
    "bottleneck": {"bottleneck": SMALL_TRANSFORMER},
    "predistillation": {"predistillation": {"transformer": SMALL_TRANSFORMER}},
    "no masks": {
        "predistillation": {"transformer": SMALL_TRANSFORMER, "masking": {"probability": 0}}
    },
    "distillation": {"assignment": "none", "distillation": {"feature_dim": 3}},
    "dropout": {"quantizer_dropout": 0.5},
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_variant_trains_all_its_parameters(name):
    generator = build(**ABLATIONS[name])
    if generator.distillation is not None:
        generator.distillation.know_centroids(torch.randn(5, 3))
    generated = generator(torch.randn(2, 1, 250), torch.randint(5, (2, 25)))
    loss = generated.audio.square().mean() + generated.quantized.commitment_loss
    (loss + sum(generated.losses.values())).backward()
    for parameter_name, parameter in generator.named_parameters():
        assert parameter.grad is not None, parameter_name


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("n_codebooks", 0, "n_codebooks 0 is below 1"),
        ("dimension", 0, "dimension 0 is below 1"),
        ("n_filters", -2, "n_filters -2 is below 1"),
        ("codebook_size", -1, "codebook_size -1 is below 1"),
        ("lstm_layers", -1, "lstm_layers -1 is below 0"),
        ("ratios", [-5, -2], "ratios -5 is below 1"),
        ("quantizer_dropout", 1.5, r"quantizer_dropout 1\.5 is outside 0\.\.1"),
        ("quantizer_dropout", -0.1, r"quantizer_dropout -0\.1 is outside 0\.\.1"),
    ],
)
def test_options_out_of_range(option, value, message):
    with pytest.raises(ConfigError, match=f"codec_conf.generator_params: {message}"):
        build(**{option: value})


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"decay": 2}, r"decay 2 is outside 0\.\.1"),
        ({"decay": "much"}, "decay 'much' is of type str; give float"),
        ({"dead_code_threshold": -1}, "dead_code_threshold -1 is below 0"),
        ({"kmeans_iterations": 0}, "kmeans_iterations 0 is below 1"),
        ({"kmeans_iterations": 1.5}, "kmeans_iterations 1.5 is of type float; give int"),
    ],
)
@pytest.mark.parametrize("assignment", ["sta", "none"])
def test_codebook_options_out_of_range(assignment, numbers, message):
    with pytest.raises(ConfigError, match=f"generator_params.codebook: {message}"):
        build(assignment=assignment, codebook=numbers, n_codebooks=1)


def test_variants_that_make_no_sense():
    with pytest.raises(ConfigError, match="'none' never uses"):
        build(assignment="none", predistillation={}, semantic_clusters=None)
    with pytest.raises(ConfigError, match="spectral.encoder: 5 is no mapping"):
        build(spectral={"encoder": 5})
    for part in ("predistillation", "distillation"):
        with pytest.raises(ConfigError, match=f"{part}: loss_weight -1 is below 0"):
            build(**{part: {"loss_weight": -1} | ({"feature_dim": 3} if part[0] == "d" else {})})
    with pytest.raises(ConfigError, match="scheduled_sampling_steps -3 is below 0"):
        build(predistillation={"scheduled_sampling_steps": -3})
    with pytest.raises(ConfigError, match="'none' never uses"):
        build(assignment="none", predistillation={"transformer": SMALL_TRANSFORMER})
    with pytest.raises(ConfigError, match="distillation needs semantic tokens"):
        build(assignment="none", distillation={"feature_dim": 3}, semantic_clusters=None)
    with pytest.raises(ConfigError, match=r"predistillation\.masking: unknown key span"):
        build(predistillation={"masking": {"span": 3}})


def test_frames_come_from_the_strides():
    generator = build()
    assert generator.frame_rule.hop_samples == 10
    assert generator.frame_rule.frame_rate_hz == 1600
    generated = generator(torch.randn(2, 1, 60), torch.randint(5, (2, 6)))
    assert generated.audio.shape == (2, 1, 60)
    assert generated.quantized.codes.shape == (3, 2, 6)


def test_codebook_options_reach_every_layer():
    generator = build(codebook={"decay": 0.5, "dead_code_threshold": 0.0, "kmeans_iterations": 3})
    for layer in generator.quantizer.layers:
        assert (layer.decay, layer.dead_code_threshold, layer.kmeans_iterations) == (0.5, 0.0, 3)
        assert layer.embed.shape == (8, 6)


@pytest.mark.parametrize("lengths", [[300, 40, 170], [297, 1, 168]])
@pytest.mark.parametrize("input_padding", ["waveform", "convolutions"])
@torch.no_grad()
def test_an_item_has_the_same_codes_and_audio_alone_and_padded(lengths, input_padding):
    generator = build(input_padding=input_padding)
    audio, tokens = torch.randn(3, 1, max(lengths)), torch.randint(5, (3, 30))
    generator(audio, tokens)
    generator.eval()
    for row, length in enumerate(lengths):
        audio[row, :, length:] = 0
    frames = -(-torch.tensor(lengths) // 10)
    together = generator(audio, tokens, torch.tensor(lengths))
    decoded = generator.decode(together.quantized.codes, frames)
    torch.testing.assert_close(decoded, together.audio)
    for row, (length, count) in enumerate(zip(lengths, frames.tolist(), strict=True)):
        alone = generator(audio[row : row + 1, :, :length], tokens[row : row + 1, :count])
        codes = together.quantized.codes[:, row, :count]
        assert torch.equal(codes, alone.quantized.codes[:, 0])
        torch.testing.assert_close(
            together.audio[row, :, : count * 10], alone.audio[0], rtol=0, atol=1e-5
        )


def test_tokens_are_needed_where_they_are_assigned_and_ignored_elsewhere():
    with pytest.raises(TokenError, match=r"python -m espnet_stacodec\.bin\.train"):
        build()(torch.randn(1, 1, 60))
    plain = build(assignment="none", semantic_clusters=None)
    assert plain(torch.randn(1, 1, 60), torch.full((1, 6), 99)).quantized.codes.max() < 8

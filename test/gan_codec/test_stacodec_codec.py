"""The codec that ESPnet trains: turns, losses, padding, state, and what it learns."""

import copy

import pytest
import torch

from espnet_stacodec.errors import ConfigError, TokenError
from espnet_stacodec.gan_codec.batch_part import BatchPart
from espnet_stacodec.gan_codec.espnet_model import ESPnetSTACodecModel
from espnet_stacodec.gan_codec.quantizer.residual import PADDED_CODE
from espnet_stacodec.gan_codec.stacodec import STACodec

FRAMES = 20


@pytest.fixture
def batch(toy_utterance) -> dict[str, torch.Tensor]:
    pairs = [toy_utterance(seed, FRAMES) for seed in (1, 2)]
    return {
        "audio": torch.stack([torch.from_numpy(audio) for audio, _ in pairs]),
        "semantic": torch.stack([torch.from_numpy(tokens) for _, tokens in pairs]).long(),
    }


@pytest.fixture
def build(tiny_codec_conf):
    """Return a function that builds a codec from changes of the tiny configuration."""

    def build_codec(**changes) -> STACodec:
        torch.manual_seed(0)
        conf = copy.deepcopy(tiny_codec_conf)
        conf["generator_params"] |= {"semantic_clusters": 8} | changes.pop("generator_params", {})
        return STACodec(**conf | changes)

    return build_codec


def trained(module: torch.nn.Module) -> set[str]:
    """Return the parameters that have a gradient."""
    return {
        name
        for name, p in module.named_parameters()
        if p.grad is not None and p.grad.abs().sum() > 0
    }


@pytest.mark.parametrize("start", [0, 100])
@pytest.mark.parametrize("assignment", ["sta", "frozen", "none"])
def test_every_parameter_is_trained_in_its_turn_and_no_other(build, batch, assignment, start):
    codec = build(adversary_start_step=start, generator_params={"assignment": assignment})
    result = codec(**batch, forward_generator=True)
    assert result["optim_idx"] == 0
    result["loss"].backward()
    assert trained(codec.generator) == dict(codec.generator.named_parameters()).keys()
    assert not trained(codec.discriminator)
    codec.zero_grad()
    result = codec(**batch, forward_generator=False)
    assert result["optim_idx"] == 1
    result["loss"].backward()
    assert not trained(codec.generator)
    # What real and fake audio ask of a bias may cancel.
    weights = {name for name, _ in codec.discriminator.named_parameters() if "weight" in name}
    assert weights <= trained(codec.discriminator)
    assert all(p.grad is not None for p in codec.discriminator.parameters())


def test_what_is_trained_lies_under_generator_and_discriminator(build):
    """ESPnet's two optimizers see nothing else."""
    names = {name.split(".")[0] for name, _ in build().named_parameters()}
    assert names == {"generator", "discriminator"}


@pytest.mark.parametrize("order", [[False, True], [True, False]])
def test_one_generation_serves_both_turns_of_a_step(build, batch, order):
    codec = build()
    calls = []
    codec.generator.register_forward_hook(lambda *args: calls.append(1))
    others = {name: value.clone() for name, value in batch.items()}
    for step, streams in enumerate((batch, others, batch), 1):
        for forward_generator in order:
            codec(**streams, forward_generator=forward_generator)
        assert len(calls) == step
    assert codec.generator.quantizer.updates == 3


@pytest.mark.parametrize("order", [[False, True], [True, False]])
def test_a_step_is_never_about_the_batch_before(build, batch, order):
    codec = build().train()
    codec(**batch)
    codec.eval()
    silence = {"audio": torch.zeros_like(batch["audio"]), "semantic": batch["semantic"]}
    expected = codec(**silence)["stats"]["mel_loss"]
    for streams in (batch, silence):
        stats = [codec(**streams, forward_generator=turn)["stats"] for turn in order]
    assert torch.equal(stats[order.index(True)]["mel_loss"], expected)


def test_generator_turns_alone_on_one_batch_each_have_their_own_graph(build, batch):
    codec = build()
    for _ in range(2):
        codec(**batch)["loss"].backward()
    assert codec.generator.quantizer.updates == 2


def test_the_adversary_begins_at_its_step(build, batch):
    codec = build(adversary_start_step=2)
    for step in range(4):
        codec.train()
        stats = codec(**batch)["stats"]
        assert ("adv_loss" in stats) == ("feat_match_loss" in stats) == (step >= 2)
    assert codec.generator_steps == 4


def test_the_adversarys_start_survives_a_resume_and_evaluation_does_not_count(build, batch):
    codec, resumed = build(adversary_start_step=2), build(adversary_start_step=2)
    for _ in range(2):
        assert not codec.adversary_active
        codec(**batch)
        codec.eval()(**batch)
        codec.train()
    assert codec.adversary_active and not resumed.adversary_active
    resumed.load_state_dict(codec.state_dict())
    assert resumed.adversary_active


def test_losses_of_a_padded_batch_are_those_of_its_items(build, batch):
    """Weighted by their lengths; whatever lies in the padding."""
    codec = build()
    codec(**batch)
    codec.eval()
    audio, semantic = batch["audio"], batch["semantic"]
    samples = [FRAMES * 320, 7 * 320]
    padded = {
        "audio": audio.clone(),
        "semantic": semantic.clone(),
        "audio_lengths": torch.tensor(samples),
        "semantic_lengths": torch.tensor([FRAMES, 7]),
    }
    padded["audio"][1, samples[1] :] = 0.0
    padded["semantic"][1, 7:] = PADDED_CODE
    for turn in (True, False):
        together = codec(**padded, forward_generator=turn)["stats"]
        items = [
            codec(audio[i : i + 1, :n], turn, semantic[i : i + 1, : n // 320])["stats"]
            for i, n in enumerate(samples)
        ]
        assert len(together) >= 3
        for name, value in together.items():
            if "usage" in name or "perplexity" in name:
                continue
            parts = [item[name] * n / sum(samples) for item, n in zip(items, samples, strict=True)]
            assert value.item() == pytest.approx(sum(parts).item(), rel=1e-4), name


def test_partial_frames_at_the_end_are_trained_on(build, batch):
    codec = build()
    audio = batch["audio"][:, : FRAMES * 320 - 100]
    assert torch.isfinite(codec(audio, semantic=batch["semantic"])["loss"])
    lengths = torch.tensor([FRAMES * 320 - 100, 330])
    semantic = batch["semantic"].clone()
    semantic[1, 2:] = PADDED_CODE
    codec(audio, semantic=semantic, audio_lengths=lengths)["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in codec.generator.parameters())


def test_the_loss_weights_set_the_gradient_at_the_audio(build, batch):
    """A loss of weight zero contributes nothing, and shares are of the total."""
    alone = {"reconstruct_loss": 1.0, "mel_loss": 0.0}
    codec = build(adversary_start_step=100, loss_weights=alone, lambda_commit=0.0)
    reference = build(adversary_start_step=100, lambda_commit=0.0)
    part = BatchPart.alone(reference.measure(batch["audio"]))
    generated = reference._generate(batch["audio"].unsqueeze(1), batch["semantic"], None, part)
    torch.nn.functional.l1_loss(generated.audio, batch["audio"].unsqueeze(1)).backward()
    codec(**batch)["loss"].backward()
    for one, other in zip(
        codec.generator.parameters(), reference.generator.parameters(), strict=True
    ):
        similarity = torch.cosine_similarity(one.grad.flatten(), other.grad.flatten(), dim=0)
        assert similarity > 0.999


def test_encoding_changes_no_state_whatever_the_mode(build, batch):
    codec = build().train()
    codec(**batch)
    before = copy.deepcopy(codec.state_dict())
    audio = batch["audio"].unsqueeze(1)
    in_training = codec.encode(audio, batch["semantic"])
    assert codec.training and codec.generator.quantizer.training
    assert all(torch.equal(value, before[name]) for name, value in codec.state_dict().items())
    codec.eval()
    assert torch.equal(codec.encode(audio, batch["semantic"]), in_training)
    assert not codec.training
    with pytest.raises(TokenError):
        codec.train().encode(audio)
    assert codec.training


def test_encoding_pads_to_whole_frames_and_decoding_gives_them(build, batch):
    codec = build()
    codec(**batch)
    codec.eval()
    codes = codec.encode(batch["audio"][:, None, :1000], batch["semantic"][:, :4])
    assert codes.shape == (3, 2, 4)
    assert torch.equal(codes[0], batch["semantic"][:, :4])
    assert codec.decode(codes).shape == codec.decode(codes[:1]).shape == (2, 1, 1280)


def test_what_espnet_asks_of_a_codec(build):
    assert build().meta_info() == {
        "fs": 16000,
        "num_streams": 3,
        "frame_shift": 320,
        "code_size_per_stream": [16, 16, 16],
    }


def test_the_model_lets_tokens_through_and_espnets_does_not(build, batch):
    from espnet2.gan_codec.espnet_model import ESPnetGANCodecModel

    stats = ESPnetSTACodecModel(build())(**batch, utt_id=["a", "b"])["stats"]
    assert "mel_loss" in stats
    with pytest.raises(TokenError, match=r"python -m espnet_stacodec\.bin\.train"):
        ESPnetGANCodecModel(build())(**batch)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator_params": {"n_filter": 2}}, r"generator_params: unknown key n_filter;.*n_filt"),
        ({"discriminator_params": {"filtres": 2}}, r"discriminator_params: unknown key.*filters"),
        ({"mel_loss_params": {"mels": 2}}, r"mel_loss_params: unknown key mels; known.*n_mels"),
        ({"loss_weights": {"mel": 2.0}}, r"loss_weights: unknown key mel; known are adv_loss"),
        ({"generator_params": {"codebook": {"dcay": 1}}}, r"codebook: unknown key dcay;.*decay"),
        ({"generator_params": {"assignment": "st"}}, r"'st' is unknown; known are none, sta, froz"),
        ({"generator_params": {"semantic_clusters": None}}, r"espnet_stacodec\.bin\.train"),
        ({"lambda_commit": -1.0}, "codec_conf: lambda_commit -1.0 is below 0"),
        ({"adversary_start_step": -5}, "codec_conf: adversary_start_step -5 is below 0"),
        ({"loss_weights": {"mel_loss": -1.0}}, "loss_weights: mel_loss -1.0 is below 0"),
        (
            {
                "loss_weights": {"mel_loss": 0.0, "reconstruct_loss": 0.0},
                "adversary_start_step": 3,
            },
            "all of reconstruct_loss, mel_loss are 0, .* before step 3",
        ),
    ],
)
def test_configuration_errors_say_what_is_known(build, changes, message):
    with pytest.raises(ConfigError, match=message):
        build(**changes)


def test_more_tokens_than_entries(build):
    with pytest.raises(TokenError, match="17 semantic tokens do not fit a codebook of 16"):
        build(generator_params={"semantic_clusters": 17})


def test_after_training_the_first_codebook_is_not_ignored(build, toy_utterance):
    codec = build(
        adversary_start_step=10**6,
        generator_params={"ratios": [8, 5], "lstm_layers": 0, "codebook": {"decay": 0.8}},
    )
    optimizer = torch.optim.Adam(codec.generator.parameters(), lr=1e-2, betas=(0.8, 0.99))
    pairs = [toy_utterance(seed, 40, hop=40) for seed in range(80)]
    audio = torch.stack([torch.from_numpy(audio) for audio, _ in pairs])
    semantic = torch.stack([torch.from_numpy(tokens) for _, tokens in pairs]).long()
    for step in range(100):
        rows = torch.arange(step * 4, step * 4 + 4) % 64
        optimizer.zero_grad()
        codec(audio[rows], semantic=semantic[rows])["loss"].backward()
        optimizer.step()
    codec.eval()
    audio, semantic = audio[64:].unsqueeze(1), semantic[64:]
    with torch.no_grad():
        codes = codec.encode(audio, semantic)
        shuffled = codes.clone()
        shuffled[0] = (semantic + torch.randint(1, 8, semantic.shape)) % 8
        right, wrong = (codec.mel_loss(codec.decode(c), audio).item() for c in (codes, shuffled))
    assert wrong > 1.25 * right

"""The frontend with a codec inside, alone; test_stacodec_in_espnet.py has it in a recogniser."""

import copy
import importlib

import pytest
import torch
from espnet2.torch_utils.initialize import initialize

from espnet_stacodec import AUDIO_TASKS
from espnet_stacodec.errors import ConfigError, DataError, ModelError
from espnet_stacodec.frontend.stacodec import STACodecFrontend
from espnet_stacodec.gan_codec.generator import STACodecGenerator
from espnet_stacodec.inference.audio_coding import AudioCoding
from espnet_stacodec.semantic.tokenizer import SemanticTokenizer

LENGTHS = (3200, 1, 321, 5000)  # around whole frames of 320 samples


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Return noise (B, N), also past the end of the items, and their lengths."""
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(len(LENGTHS), max(LENGTHS), generator=generator), torch.tensor(LENGTHS)


def state_of(frontend: STACodecFrontend) -> dict[str, torch.Tensor]:
    """Return all that is inside the codec: weights and buffers."""
    return {k: v.clone() for k, v in frontend.codec.generator.state_dict().items()}


def assert_state(frontend: STACodecFrontend, expected: dict[str, torch.Tensor]) -> None:
    state = frontend.codec.generator.state_dict()
    assert set(state) == set(expected)
    assert all(torch.equal(value, expected[name]) for name, value in state.items())


@pytest.fixture(params=["latents", "codes"])
def frontend(request, spd_experiment) -> STACodecFrontend:
    torch.manual_seed(0)
    return STACodecFrontend(str(spd_experiment), request.param, [0, 2])


@pytest.mark.parametrize("codebooks", [[0], [2, 0], None])
def test_latents_are_the_entries_of_the_chosen_codebooks(spd_experiment, codebooks):
    codec = AudioCoding.from_pretrained(spd_experiment)
    frontend = STACodecFrontend(spd_experiment, codebooks=codebooks)
    audio, lengths = batch()
    out, out_lengths = frontend(audio, lengths)
    assert out_lengths.tolist() == [10, 1, 2, 16]
    assert out.shape == (4, 16, 8) and frontend.output_size() == 8
    codes = codec.encode(audio[0, :3200], 16000)
    generator = codec.generator
    assert isinstance(generator, STACodecGenerator)
    books = generator.quantizer.codebooks
    chosen = range(3) if codebooks is None else codebooks
    expected = torch.stack([books[i].embed[codes[i]] for i in chosen]).sum(0)
    torch.testing.assert_close(out[0, :10], expected)
    assert (out[0, 10:] == 0).all()
    if codebooks is None:
        decoded = generator.quantizer.decode(codes[:, None])[0].T
        torch.testing.assert_close(out[0, :10], decoded)


def test_codes_have_embeddings_of_their_own(spd_experiment):
    frontend = STACodecFrontend(spd_experiment, "codes", [1, 2], {"embed_dim": 5})
    assert frontend.mixture is not None
    audio, lengths = batch()
    codes = AudioCoding.from_pretrained(spd_experiment).encode(audio[3], 16000)
    table = frontend.mixture.embedding.weight
    assert table.shape == (2 * 16, 5) and frontend.output_size() == 5
    expected = (table[codes[1]] + table[16 + codes[2]]) / 2
    torch.testing.assert_close(frontend(audio, lengths)[0][3], expected)


@pytest.mark.parametrize(
    "experiment", ["spd_experiment", "plain_experiment", "assigned_experiment"]
)
@pytest.mark.parametrize("output", ["latents", "codes"])
def test_padding_never_changes_an_utterance(request, experiment, output):
    frontend = STACodecFrontend(request.getfixturevalue(experiment), output)
    audio, lengths = batch()
    out, out_lengths = frontend(audio, lengths)
    for row, (samples, frames) in enumerate(zip(LENGTHS, out_lengths.tolist(), strict=True)):
        alone, alone_length = frontend(audio[row : row + 1, :samples], lengths[row : row + 1])
        assert alone_length.tolist() == [frames] and alone.shape[1] == frames
        assert torch.equal(out[row, :frames], alone[0])
        assert (out[row, frames:] == 0).all()


def test_assigned_tokens_come_from_the_experiments_tokenizer(assigned_experiment):
    frontend = STACodecFrontend(assigned_experiment, codebooks=[0])
    audio, _ = batch()
    out, _ = frontend(audio[3:], torch.tensor([5000]))
    tokens = SemanticTokenizer.load(assigned_experiment / "semantic")(audio[3])
    assert len(tokens.unique()) > 1
    generator = frontend.codec.generator
    assert isinstance(generator, STACodecGenerator)
    expected = generator.quantizer.codebooks[0].embed[tokens]
    torch.testing.assert_close(out[0], expected)


def test_the_codec_is_never_trained(frontend):
    before = state_of(frontend)
    frontend.train()
    audio, lengths = batch()
    out, _ = frontend(audio.requires_grad_(), lengths)
    assert not any(p.requires_grad for p in frontend.codec.generator.parameters())
    assert not any(m.training for m in frontend.codec.generator.modules())
    # Data parallel training fails on parameters without a gradient.
    trained = list(frontend.parameters())
    assert out.requires_grad == bool(trained)
    if trained:
        out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained)
    assert audio.grad is None
    assert_state(frontend, before)
    assert torch.equal(frontend.eval()(audio, lengths)[0], out)


def test_mixed_precision_does_not_reach_the_codec(frontend):
    """A tiny codec may give the same codes all the same, a real one would not."""
    seen = []
    encoder = frontend.codec.generator.encoder
    encoder.register_forward_pre_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    with torch.autocast("cpu", torch.bfloat16):
        frontend(*batch())
    assert seen and not any(seen)


@pytest.mark.parametrize("init", ["xavier_uniform", "normal"])
def test_initialization_leaves_the_codec_alone(frontend, init):
    before = state_of(frontend)
    model = torch.nn.Module()
    model.frontend = frontend
    initialize(model, init)
    assert_state(frontend, before)


def test_checkpoints_hold_the_fingerprint_instead_of_the_codec(frontend, plain_experiment):
    saved = frontend.state_dict()
    assert set(saved) <= {
        "codec_fingerprint", "mixture.embedding.weight", "mixture.mixture"
    }  # fmt: skip
    # As ESPnet averages checkpoints.
    frontend.load_state_dict({name: (value + value + value) / 3 for name, value in saved.items()})
    copy.deepcopy(frontend).load_state_dict(saved)
    output = "latents" if frontend.mixture is None else "codes"
    other = STACodecFrontend(plain_experiment, output, [0, 2])
    message = (
        rf"trained on the codec {frontend.codec.fingerprint}, .* now {other.codec.fingerprint}"
    )
    with pytest.raises(ModelError, match=message):
        other.load_state_dict(saved)
    model = torch.nn.ModuleDict({"frontend": other})
    with pytest.raises(ModelError, match=message):
        model.load_state_dict({f"frontend.{k}": v for k, v in saved.items()}, strict=False)
    other.load_state_dict({}, strict=False)


def test_the_codec_follows_the_model_to_another_device(assigned_experiment):
    frontend = STACodecFrontend(assigned_experiment)
    model = torch.nn.Sequential(frontend)
    model.to(torch.float64)
    assert all(p.dtype is torch.float32 for p in frontend.codec.generator.parameters())
    audio, lengths = batch()
    assert frontend(audio.double(), lengths)[0].dtype is torch.float64
    model.to("meta")
    assert all(v.is_meta for v in frontend.codec.generator.state_dict().values())
    assert frontend.codec.device == torch.device("meta")


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"codec": None}, "codec must be given"),
        ({"codec": "no/such/folder"}, "codec: no/such/folder: neither a folder nor an archive"),
        ({"output": "embeddings"}, "output 'embeddings' is unknown; known are latents, codes"),
        ({"codebooks": [0, 3]}, r"codebooks \[0, 3\] must be different ones of 0 to 2"),
        ({"codebooks": [-1]}, r"codebooks \[-1\] must be"),
        ({"codebooks": [1, 1]}, r"codebooks \[1, 1\] must be"),
        ({"codebooks": []}, r"codebooks \[\] must be"),
        ({"fs": 8000}, "fs 8000 Hz is not the codec's 16000 Hz"),
        ({"fs": "24k"}, "fs 24000 Hz is not the codec's 16000 Hz"),
        ({"fs": "fast"}, "fs 'fast' is not a sampling rate"),
        ({"mixture": {"embed_dim": 4}}, "mixture is about the embeddings of output 'codes'"),
        ({"output": "codes", "mixture": {"embed": 4}}, "mixture: unknown key embed; known are"),
        ({"model_file": "no.pth"}, "codec: .*: no model no.pth"),
    ],
)
def test_options_that_do_not_fit(spd_experiment, conf, message):
    with pytest.raises(ConfigError, match=f"^frontend_conf: {message}"):
        STACodecFrontend(**({"codec": str(spd_experiment)} | conf))


def test_recipes_write_the_rate_with_a_k(spd_experiment):
    assert STACodecFrontend(spd_experiment, fs="16k").hop_length == 320


def test_audio_that_cannot_be_encoded(frontend):
    audio, lengths = batch()
    audio[1, 0] = torch.nan
    with pytest.raises(DataError, match="wave 1: 1 samples are NaN"):
        frontend(audio, lengths)


@pytest.mark.parametrize("task", AUDIO_TASKS)
def test_espnet_knows_it(task):
    choices = importlib.import_module(f"espnet2.tasks.{task}").frontend_choices
    assert choices.get_class("stacodec") is STACodecFrontend

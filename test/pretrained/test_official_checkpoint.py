"""Released checkpoints: the published implementation's outputs, and files that are refused."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from espnet_stacodec import AudioCoding
from espnet_stacodec.bin import stacodec as command
from espnet_stacodec.errors import ModelError
from espnet_stacodec.gan_codec.bottleneck import Bottleneck
from espnet_stacodec.gan_codec.generator import STACodecGenerator
from espnet_stacodec.gan_codec.tokens.predistillation import Predistillation
from espnet_stacodec.pretrained.official_checkpoint import Released, convert, read_checkpoint

SMALL = ("small_sta", "small_spd_bins1024")


@pytest.fixture(scope="module")
def parity(shared: Path) -> Path:
    folder = shared / "parity"
    if not (folder / "small_sta.th").exists():
        pytest.skip("../shared/parity is not there")
    return folder


def build(released: Released) -> STACodecGenerator:
    params = {"semantic_clusters": 64} | released.generator_params
    generator = STACodecGenerator(released.sample_rate, **params)
    generator.load_state_dict(released.state)
    return generator.eval()


@pytest.mark.parametrize("name", SMALL)
@torch.no_grad()
def test_outputs_of_the_published_implementation(parity, name):
    outputs = {k: torch.from_numpy(v) for k, v in np.load(parity / f"{name}_2s.npz").items()}
    generator = build(read_checkpoint(parity / f"{name}.th"))
    latents = generator.encode(outputs["x"])
    torch.testing.assert_close(latents, outputs["emb"], rtol=0, atol=1e-4)
    codes = generator.codes(outputs["x"], outputs.get("labels"))
    assert torch.equal(codes.transpose(0, 1), outputs["codes"])
    audio = generator.decode(codes)
    torch.testing.assert_close(audio, outputs["wav_dec"], rtol=0, atol=1e-4)
    if "spd_pred" in outputs:
        assert isinstance(generator.token_source, Predistillation)
        logits = generator.token_source.logits(latents)
        torch.testing.assert_close(logits, outputs["spd_logits"], rtol=0, atol=1e-3)
        assert torch.equal(logits.argmax(2), outputs["spd_pred"])


@torch.no_grad()
def test_windows_of_the_published_bottleneck(parity):
    bottleneck = build(read_checkpoint(parity / "small_sta.th")).bottleneck
    assert isinstance(bottleneck, Bottleneck)
    outputs = np.load(parity / "transformer_chunks_small_sta.npz")
    lengths = sorted(int(name.removeprefix("in_")) for name in outputs if name.startswith("in_"))
    assert len(lengths) == 15
    inputs = [torch.from_numpy(outputs[f"in_{length}"]) for length in lengths]
    for length, x in zip(lengths, inputs, strict=True):
        expected = torch.from_numpy(outputs[f"out_{length}"])
        torch.testing.assert_close(bottleneck(x), expected, rtol=0, atol=1e-4)
    # All in one padded batch: the same.
    batch = torch.nn.utils.rnn.pad_sequence([x[0].T for x in inputs], batch_first=True)
    together = bottleneck(batch.transpose(1, 2), torch.tensor(lengths))
    for row, length in enumerate(lengths):
        expected = torch.from_numpy(outputs[f"out_{length}"])[0]
        torch.testing.assert_close(together[row, :, :length], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["sta", "spd"])
def test_the_full_size_takes_every_key(parity, kind):
    shapes = full_shapes(parity, kind)
    config = full_config(shapes)
    with torch.device("meta"):
        weights = {name: torch.empty(shape) for name, shape in shapes.items()}
        released = convert(config, weights)
        params = {"semantic_clusters": 1000} | released.generator_params
        generator = STACodecGenerator(released.sample_rate, **params)
        expected = {name: value.shape for name, value in generator.state_dict().items()}
    assert {name: value.shape for name, value in released.state.items()} == expected


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sta", "spd"])
def test_a_release_of_full_size_is_imported_and_encodes(parity, kind, tmp_path):
    """Random weights in the released format, through the command."""
    torch.manual_seed(0)
    shapes = full_shapes(parity, kind)
    weights = {}
    for name, shape in shapes.items():
        # Of a size that lets the signal through: gains are 1, the other weights small.
        gain = name.endswith(("weight_g", "LayerNorm.weight"))
        weights[name] = torch.ones(shape) if gain else 0.02 * torch.randn(shape)
    checkpoint = {"xp.cfg": full_config(shapes), "best_state": {"model": weights}}
    torch.save(checkpoint, tmp_path / "model.th")
    command.main(["import", str(tmp_path / "model.th"), "--out", str(tmp_path / "exp")])
    codec = AudioCoding.from_pretrained(tmp_path / "exp")
    assert codec.needs_tokens == (kind == "sta")
    wave = 0.1 * torch.randn(5 * 16000 + 77)
    tokens = torch.arange(251) % 1000 if codec.needs_tokens else None
    codes = codec.encode(wave, 16000, tokens)
    assert codes.shape == (8, 251)
    assert codec.decode(codes, len(wave)).isfinite().all()


def full_shapes(parity: Path, kind: str) -> dict[str, list[int]]:
    """Return the shape of each weight of a released model, by its published name."""
    lines = (parity / f"full_{kind}_state_dict_keys.txt").read_text().splitlines()[1:]
    shapes = {}
    for line in lines:
        name, shape = line.split("\t")[:2]
        shapes[name] = [int(size) for size in shape.strip("(),").split(",") if size.strip()]
    return shapes


def full_config(shapes):
    """Return the released models' configuration, with the hidden sizes that the shapes have."""
    from omegaconf import OmegaConf

    def transformer(prefix):
        return {
            "do_enc": True,
            "hidden_size": shapes[f"{prefix}in_projection.bias"][0],
            "num_hidden_layers": 8,
            "num_attention_heads": 16,
            "intermediate_size": 2048,
            "max_frames_in_trans": 150,
            "overlap_frames": 50,
        }

    prediction = "auxiliary_tasks_models.0.linar_prob_models.0.enc."
    token_pred = (
        {"transformer_params": transformer(prediction)}
        if any(name.startswith(prediction) for name in shapes)
        else {}
    )
    return OmegaConf.create({
        "sample_rate": 16000,
        "encodec": {"autoencoder": "seanet", "quantizer": "rvq", "renormalize": False},
        "seanet": {
            "dimension": 128, "channels": 1, "causal": False, "n_filters": 64,
            "n_residual_layers": 1, "ratios": [8, 5, 4, 2], "activation": "ELU",
            "norm": "weight_norm", "kernel_size": 7, "residual_kernel_size": 3,
            "last_kernel_size": 7, "dilation_base": 2, "pad_mode": "constant",
            "true_skip": True, "compress": 2, "lstm": 2, "lstm_bidirectional": True,
            "transformer_params": transformer("encoder.encoder_transformer."),
        },
        "rvq": {"n_q": 8, "bins": 1024, "decay": 0.99},
        "auxiliary_tasks": {"token_pred": token_pred},
    })  # fmt: skip


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (self.target,)


def test_a_malicious_checkpoint_is_refused_by_name(tmp_path):
    target = tmp_path / "written"
    path = tmp_path / "model.th"
    torch.save({"xp.cfg": Malicious(target), "best_state": {"model": {}}}, path)
    with pytest.raises(ModelError, match=r"model\.th: refused, since it names \w+.mkdir"):
        read_checkpoint(path)
    assert not target.exists()
    # It does what it says where it is trusted.
    torch.load(path, weights_only=False)
    assert target.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {}}, "not a checkpoint of the published STACodec"),
        ({"xp.cfg": {}, "best_state": {"model": {}}}, "not a checkpoint of the published STACodec"),
        ([1, 2], "not a checkpoint of the published STACodec"),
    ],
)
def test_a_file_of_another_kind(tmp_path, content, message):
    torch.save(content, tmp_path / "model.th")
    with pytest.raises(ModelError, match=message):
        read_checkpoint(tmp_path / "model.th")


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        read_checkpoint(tmp_path / "model.th")
    (tmp_path / "model.th").write_bytes(pickle.dumps("text")[:5])
    with pytest.raises(ModelError, match="not a checkpoint, or cut off"):
        read_checkpoint(tmp_path / "model.th")
    (tmp_path / "model.th").write_text("# A page of text")
    with pytest.raises(ModelError, match=r"or cut off \(Unsupported operand 35\)"):
        read_checkpoint(tmp_path / "model.th")


def test_a_checkpoint_cut_off(parity, tmp_path):
    whole = (parity / "small_sta.th").read_bytes()
    (tmp_path / "model.th").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="not a checkpoint, or cut off"):
        read_checkpoint(tmp_path / "model.th")


def test_surplus_and_other_models(parity):
    content = read_raw(parity / "small_sta.th")
    config, weights = content["xp.cfg"], content["best_state"]["model"]
    with pytest.raises(ModelError, match="it holds encoder.surplus"):
        convert(config, weights | {"encoder.surplus": torch.zeros(1)})
    config.seanet.causal = True
    with pytest.raises(ModelError, match="seanet.causal is True, and this package has False only"):
        convert(config, weights)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("dimension", "abc", r"invalid literal for int.*'abc'"),
        ("dimension", "???", "Missing mandatory value"),
        ("dimension", None, "not 'NoneType'"),
        ("dimension", "${foo}", "Interpolation key 'foo' not found"),
    ],
)
def test_a_configuration_that_cannot_be(parity, tmp_path, option, value, message):
    content = read_raw(parity / "small_sta.th")
    content["xp.cfg"].seanet[option] = value
    torch.save(content, tmp_path / "model.th")
    with pytest.raises(ModelError, match=rf"model\.th: .*{message}"):
        read_checkpoint(tmp_path / "model.th")


def test_an_interpolation_never_runs(parity, tmp_path):
    """Not even where the process has registered something dangerous."""
    from omegaconf import OmegaConf

    target = tmp_path / "written"
    content = read_raw(parity / "small_sta.th")
    content["xp.cfg"].seanet.dimension = f"${{make:{target}}}"
    torch.save(content, tmp_path / "model.th")
    OmegaConf.register_new_resolver("make", os.mkdir)
    try:
        with pytest.raises(ModelError, match=r"refused, since its configuration calls \$\{make:"):
            read_checkpoint(tmp_path / "model.th")
        assert not target.exists()
        assert content["xp.cfg"].seanet.dimension is None  # it does what it says where it is read
        assert target.exists()
    finally:
        OmegaConf.clear_resolver("make")


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("surplus", (1,), "it holds surplus, which no transformer of STACodec has"),
        ("transformer_encoder.encoder.layer.0.attention.self.key.weight", (3, 3), "Sizes of"),
        ("transformer_encoder.embeddings.token_type_embeddings.weight", (2, 3), "size of tensor"),
    ],
)
def test_transformer_weights_that_do_not_fit(parity, tmp_path, name, shape, message):
    content = read_raw(parity / "small_sta.th")
    weights = content["best_state"]["model"]
    name = f"encoder.encoder_transformer.{name}"
    assert (name in weights) == ("surplus" not in name)
    weights[name] = torch.zeros(shape)
    torch.save(content, tmp_path / "model.th")
    with pytest.raises(ModelError, match=rf"model\.th: .*{message}"):
        read_checkpoint(tmp_path / "model.th")


def read_raw(path):

    from espnet_stacodec.pretrained import official_checkpoint

    return official_checkpoint._load(path)

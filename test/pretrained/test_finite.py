"""Weights that are not finite: no way to load a codec takes them silently."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from espnet_stacodec import AudioCoding
from espnet_stacodec.errors import ConfigError, ModelError
from espnet_stacodec.frontend.stacodec import STACodecFrontend
from espnet_stacodec.pretrained.finite import check_finite
from espnet_stacodec.pretrained.packing import pack
from espnet_stacodec.pretrained.releases import import_checkpoint

BIAS = "codec.generator.decoder.model.0.conv.conv.bias"
SUMS = "codec.generator.quantizer.layers.1.embed_sum"
BEST = "valid.mel_loss.best.pth"


def spoil(path: Path, name: str, number: float) -> None:
    read, write = (
        (load_file, save_file) if path.suffix == ".safetensors" else (torch.load, torch.save)
    )
    weights = read(path)
    weights[name].view(-1)[0] = number
    path.unlink()  # it may be a link to another checkpoint
    write(weights, path)


@pytest.fixture
def folder(plain_experiment: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain_experiment, tmp_path / "exp"))


def test_one_sentence_names_file_and_tensor():
    check_finite({"whole": torch.arange(3), "half": torch.ones(2).half()}, "a.pth")
    bad = {"a": torch.zeros(2), "b": torch.tensor([[0, torch.nan], [torch.inf, 1]])}
    with pytest.raises(ModelError, match=r"^a\.pth: b has NaN or infinite numbers, 2 of 4; take"):
        check_finite(bad, "a.pth")
    with pytest.raises(ModelError, match=r"2 of 4, as have 1 more tensors; take another.*again\.$"):
        check_finite(bad | {"c": -torch.tensor(torch.inf)}, "a.pth")


@pytest.mark.parametrize(("name", "number"), [(BIAS, torch.nan), (SUMS, -torch.inf)])
def test_experiments(folder, name, number):
    spoil(folder / BEST, name, number)
    message = f"exp/{BEST}: {name} has NaN or infinite numbers, 1 of"
    with pytest.raises(ModelError, match=message):
        AudioCoding.from_pretrained(folder)
    with pytest.raises(ConfigError, match=f"^frontend_conf: codec: .*{message}"):
        STACodecFrontend(folder)
    with pytest.raises(ModelError, match=message):
        pack(folder, folder / "x.zip")


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_packed_ones(folder, tmp_path, kind, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pack(folder, tmp_path / "x.zip")
    shutil.unpack_archive(tmp_path / "x.zip", tmp_path / "x")
    spoil(tmp_path / "x" / f"model.{kind}", BIAS, torch.nan)
    if kind == "pth":
        (tmp_path / "x" / "model.safetensors").unlink()
    archive = shutil.make_archive(str(tmp_path / "y"), "zip", tmp_path / "x")
    for source in (tmp_path / "x", Path(archive)):
        with pytest.raises(ModelError, match=rf"{source}/model\.{kind}: {BIAS} has NaN"):
            AudioCoding.from_pretrained(source)


def test_what_is_not_used_may_be_anything(folder):
    name = next(n for n in torch.load(folder / BEST) if n.startswith("codec.discriminator."))
    spoil(folder / BEST, name, torch.nan)
    AudioCoding.from_pretrained(folder)


def test_checkpoints_of_the_authors(shared, tmp_path):
    from espnet_stacodec.pretrained.official_checkpoint import _load

    source = shared / "parity" / "small_sta.th"
    if not source.exists():
        pytest.skip("../shared/parity is not there")
    content = _load(source)
    name = "encoder.model.0.conv.conv.weight_v"
    content["best_state"]["model"][name][0, 0, 0] = torch.inf
    torch.save(content, tmp_path / "model.th")
    with pytest.raises(ModelError, match=rf"/model\.th: {name} has NaN or infinite numbers, 1 of"):
        import_checkpoint(tmp_path / "model.th", tmp_path / "imported")
    assert not (tmp_path / "imported").exists()

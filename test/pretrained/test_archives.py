"""Archives of ESPnet's own packer."""

import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from espnet2.bin import pack as espnet_pack

from espnet_stacodec import AudioCoding
from espnet_stacodec.errors import ModelError
from espnet_stacodec.pretrained.archives import unpack
from espnet_stacodec.pretrained.experiment import Experiment

BEST = "valid.mel_loss.best.pth"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "espnet_stacodec"


def espnets_archive(recipe: Path, experiment: Path, name: str) -> Path:
    """Pack as a recipe of ESPnet does in its stage 8."""
    espnet_pack.main([
        "codec", "--outpath", str(recipe / name),
        "--train_config", str(experiment / "config.yaml"),
        "--model_file", str(experiment / BEST),
        "--option", str(experiment / "semantic"),
    ])  # fmt: skip
    return recipe / name


@pytest.mark.parametrize("name", ["x.zip", "x.tgz", "x.tar"])
@pytest.mark.parametrize("inside", [True, False], ids=["relative", "absolute"])
def test_an_archive_of_espnet(name, inside, assigned_experiment, tmp_path, monkeypatch, noise):
    """Its files lie where they lay, below the recipe or below /."""
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    monkeypatch.chdir(recipe)
    experiment = assigned_experiment
    if inside:
        experiment = Path("exp/codec_x")
        shutil.copytree(assigned_experiment, experiment, symlinks=True)
    archive = espnets_archive(recipe, experiment, name)
    codec = AudioCoding.from_pretrained(archive)
    trained = AudioCoding.from_pretrained(assigned_experiment)
    assert codec.fingerprint == trained.fingerprint
    # With the tokenizer that was packed as --option.
    wave = noise(6400)
    assert torch.equal(codec.encode(wave, 16000), trained.encode(wave, 16000))


def packed_by_hand(folder: Path, meta: object, **files: str) -> Path:
    with zipfile.ZipFile(folder / "x.zip", "w") as packed:
        packed.writestr("meta.yaml", yaml.safe_dump(meta))
        for name, content in files.items():
            packed.writestr(name, content)
    return folder / "x.zip"


@pytest.mark.parametrize(
    ("meta", "problem"),
    [
        ({"files": {"asr_model_file": "a"}, "yaml_files": {}}, "no train_config in yaml_files"),
        ({"files": [], "yaml_files": {"train_config": "conf"}}, "no model_file in files"),
        ({"files": {"model_file": "gone"}, "yaml_files": {"train_config": "conf"}},
         "model_file is gone, which is not in the archive"),
        ({"files": {"model_file": "conf"}, "yaml_files": {"train_config": "../secret"}},
         "train_config is ../secret, which is not in the archive"),
    ],
)  # fmt: skip
def test_a_meta_file_of_something_else(meta, problem, tmp_path, cache):
    cache.mkdir(parents=True)
    (cache / "secret").write_text("codec: stacodec\ncodec_conf: {}\n")
    archive = packed_by_hand(tmp_path, meta, conf="codec: stacodec")
    with pytest.raises(ModelError, match=f"x.zip/meta.yaml: {problem}"):
        Experiment.open(archive)


def test_nothing_is_unpacked_outside(tmp_path):
    (tmp_path / "a").write_text("x")
    with tarfile.open(tmp_path / "x.tar", "w") as packed:
        packed.add(tmp_path / "a", "../outside")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ModelError, match="not a whole archive"):
        unpack(tmp_path / "x.tar", tmp_path / "folder")
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_damaged_byte_of_a_compressed_archive_is_noticed(kind, tmp_path):
    (tmp_path / "weights").write_bytes(np.random.default_rng(0).bytes(200_000))
    archive = tmp_path / f"x.tar.{kind}"
    with tarfile.open(archive, f"w:{kind}") as packed:  # type: ignore[call-overload]
        packed.add(tmp_path / "weights", "weights")
    content = bytearray(archive.read_bytes())
    unpack(archive, tmp_path / "whole")
    content[len(content) // 2] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(ModelError, match=rf"x\.tar\.{kind}: not a whole archive"):
        unpack(archive, tmp_path / "folder")


@pytest.mark.parametrize(
    ("local", "central", "value", "reason"),
    [(6, 8, 1, "password required"), (8, 10, 9, "compression method is not supported")],
    ids=["encrypted", "deflate64"],
)
def test_a_zip_that_python_cannot_read(local, central, value, reason, tmp_path):
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("config.yaml", "codec: stacodec")
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x03\x04") + local] |= value
    content[content.index(b"PK\x01\x02") + central] |= value
    archive.write_bytes(content)
    with pytest.raises(ModelError, match=rf"x\.zip: not a whole archive .*{reason}"):
        unpack(archive, tmp_path / "folder")

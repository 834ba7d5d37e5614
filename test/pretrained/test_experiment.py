"""Finding an experiment: folders, archives, repositories of a hub."""

import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from espnet_stacodec.errors import ConfigError, ModelError
from espnet_stacodec.pretrained.experiment import Experiment, cached

CONFIG = {
    "codec": "stacodec",
    "codec_conf": {"sampling_rate": 16000},
    "best_model_criterion": [["valid", "mel_loss", "min"], ["train", "loss", "min"]],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "exp"
    path.mkdir()
    (path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    for name in ("1epoch.pth", "valid.mel_loss.best.pth", "train.loss.best.pth"):
        (path / name).write_text(name)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "espnet_stacodec"


def test_a_folder_and_its_parts(folder):
    experiment = Experiment.open(str(folder))
    assert experiment.folder == folder
    assert experiment.codec_conf == {"sampling_rate": 16000}
    assert experiment.tokenizer_folder == folder / "semantic"


def test_which_checkpoint_is_loaded(folder):
    """The one asked for, a packed one, the best by the first criterion; never just any."""
    assert Experiment.open(folder).model_file.name == "valid.mel_loss.best.pth"
    (folder / "model.pth").write_text("x")
    assert Experiment.open(folder).model_file.name == "model.pth"
    (folder / "model.safetensors").write_text("x")
    assert Experiment.open(folder).model_file.name == "model.safetensors"
    assert Experiment.open(folder, "1epoch.pth").model_file.name == "1epoch.pth"
    (folder / "model.pth").unlink()
    (folder / "model.safetensors").unlink()
    (folder / "valid.mel_loss.best.pth").unlink()
    there = "1epoch.pth, train.loss.best.pth"
    with pytest.raises(ModelError, match=rf"model.pth or valid.mel_loss.best.pth \(there: {there}"):
        Experiment.open(folder)
    with pytest.raises(ModelError, match=r"no model 9epoch.pth \(there: 1epoch"):
        Experiment.open(folder, "9epoch.pth")


def test_folders_that_are_no_experiments(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"empty: no config.yaml in it"):
        Experiment.open(tmp_path / "empty")
    configs: list[dict[str, Any]] = [{"codec": "stacodec"}, {"codec_conf": {}}, {"asr": 1}]
    for config in configs:
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        with pytest.raises(ModelError, match="there is no codec and codec_conf in it"):
            Experiment.open(folder)
    (folder / "config.yaml").write_text("[")
    with pytest.raises(ConfigError, match=r"config.yaml: the configuration cannot be read"):
        Experiment.open(folder)


def test_what_does_not_exist(tmp_path):
    with pytest.raises(ModelError, match="neither a folder nor an archive nor an id"):
        Experiment.open(tmp_path / "no" / "such" / "thing")


def archive_of(folder: Path) -> Path:
    archive = folder.parent / "exp.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(folder / "config.yaml", "config.yaml")
        packed.writestr("model.pth", bytes(range(256)) * 400)
    return archive


def test_an_archive_is_unpacked_once(folder, cache):
    archive = archive_of(folder)
    first = Experiment.open(archive)
    assert first.folder.parent == cache and first.model_file.name == "model.pth"
    stamp = first.model_file.stat().st_mtime_ns
    shutil.move(archive, folder.parent / "renamed.zip")
    again = Experiment.open(folder.parent / "renamed.zip")
    assert again.model_file == first.model_file
    assert again.model_file.stat().st_mtime_ns == stamp
    assert len(list(cache.iterdir())) == 1


def test_two_processes_that_fill_the_same_folder(folder, cache):
    """The slower one takes what the quicker one made."""
    archive = folder / "config.yaml"

    def slowly(temporary: Path) -> None:
        (temporary / "who").write_text("slower")
        assert cached([archive], lambda other: (other / "who").write_text("quicker")).is_dir()

    made = cached([archive], slowly)
    assert (made / "who").read_text() == "quicker"
    assert list(made.parent.iterdir()) == [made]


def test_others_can_read_the_cache(folder, cache):
    before = os.umask(0o022)
    try:
        made = Experiment.open(archive_of(folder)).folder
    finally:
        os.umask(before)
    assert made.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("damage", ["text", "cut", "flipped"])
def test_a_damaged_archive_leaves_nothing_behind(folder, cache, damage):
    archive = archive_of(folder)
    content = bytearray(archive.read_bytes())
    if damage == "text":
        content = bytearray(b"<html>")
    elif damage == "cut":
        content = content[: len(content) // 2]
    else:
        middle = len(content) // 2
        content[middle : middle + 60] = bytes(60)
    archive.write_bytes(content)
    with pytest.raises(ModelError, match=r"exp.zip: not a whole archive") as caught:
        Experiment.open(archive)
    assert "\n" not in str(caught.value)
    assert list(cache.iterdir()) == []


@pytest.fixture
def hub(tmp_path: Path, monkeypatch) -> Path:
    """The cache of the hub's client, with no hub to be reached."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_repository_that_was_downloaded(folder, hub):
    """The real client finds it in its cache, laid out as it does itself."""
    repository = hub / "models--owner--my.codec"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(folder, repository / "snapshots" / commit)
    experiment = Experiment.open("owner/my.codec")
    assert experiment.folder == repository / "snapshots" / commit
    assert experiment.model_file.read_text() == "valid.mel_loss.best.pth"


@pytest.mark.parametrize("name", ["owner/other", "bad--name/x..y"])
def test_a_repository_that_cannot_be_had(hub, name):
    with pytest.raises(ModelError, match=f"^{name}: neither a folder here nor") as caught:
        Experiment.open(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("packed", [True, False])
def test_weights_that_a_repository_has_twice_are_downloaded_once(
    folder, tmp_path, monkeypatch, packed
):
    (folder / "model.pth").write_text("all")
    if packed:
        (folder / "model.safetensors").write_text("weights")

    def download(repository: str, ignore_patterns: str | None, **options: Any) -> str:
        ignored = shutil.ignore_patterns(*([ignore_patterns] if ignore_patterns else []))
        shutil.copytree(folder, tmp_path / "local", ignore=ignored, dirs_exist_ok=True)
        return str(tmp_path / "local")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    opened = Experiment.open("owner/codec").model_file.name
    assert opened == ("model.safetensors" if packed else "model.pth")
    assert (tmp_path / "local" / "model.pth").exists() == (not packed)
    assert Experiment.open("owner/codec", "model.pth").model_file.read_text() == "all"

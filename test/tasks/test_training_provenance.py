"""A training says what made it, makes the same again, and is alone in its folder."""

import shutil

import pytest
import torch
import yaml

from espnet_stacodec.errors import DataError, StageError
from espnet_stacodec.fileio.files import read_scp
from espnet_stacodec.fileio.provenance import fingerprint_places
from espnet_stacodec.fileio.temporaries import exclusive


def weights_of(experiment, epoch=2):
    return torch.load(experiment / f"{epoch}epoch.pth", weights_only=True)


def test_the_same_seed_trains_the_same_weights(toy_task, sta_experiment, tmp_path):
    """To the bit: weights, codebooks, and what is logged."""
    again = weights_of(toy_task.train(tmp_path / "again"))
    first = weights_of(sta_experiment)
    assert first.keys() == again.keys()
    assert [name for name in first if not torch.equal(first[name], again[name])] == []
    other = weights_of(toy_task.train(tmp_path / "other", seed=4, max_epoch=1), 1)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_a_training_says_what_made_it(toy_task, sta_experiment):
    content = yaml.safe_load((sta_experiment / "provenance.yaml").read_text())
    assert content["seed"] == 3
    assert content["configuration"]["max_epoch"] == 2
    assert content["configuration"]["codec_conf"]["semantic_fingerprint"]
    audio = read_scp(toy_task.folder / "dump" / "raw" / "train" / "wav.scp")
    assert content["data"]["train_audio"] == fingerprint_places(audio)
    assert set(content["data"]) == {
        "train_audio", "train_semantic", "valid_audio", "valid_semantic"
    }  # fmt: skip


def test_a_second_training_in_the_folder_is_refused(toy_task, tmp_path):
    out = tmp_path / "exp"
    with exclusive(out), pytest.raises(StageError, match="exp: process .* is writing here"):
        toy_task.train(out)
    assert not list(out.glob("*.pth"))


def test_audio_that_is_gone_is_named(toy_task, sta_experiment, tmp_path):
    out = tmp_path / "exp"
    shutil.copytree(sta_experiment, out)
    path = toy_task.folder / "dump" / "raw" / "train" / "train2.wav"
    away = path.rename(tmp_path / "away")
    try:
        with pytest.raises(DataError, match=r"train2: .*train2\.wav cannot be read"):
            toy_task.train(out, max_epoch=3, resume=True)
    finally:
        away.rename(path)
    assert len(weights_of(out)) > 9

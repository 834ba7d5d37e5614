"""A finished experiment cannot be changed by editing its configuration and training again."""

import shutil
from pathlib import Path

import pytest
import yaml

from espnet_stacodec import AudioCoding
from espnet_stacodec.bin import train as command


@pytest.fixture
def finished(sta_experiment, tmp_path) -> Path:
    folder = tmp_path / "sta"
    shutil.copytree(sta_experiment, folder, symlinks=True)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refused(toy_task, folder: Path, **changes) -> str:
    """Train with changed options; return the error, after seeing that nothing was touched."""
    before = contents(folder)
    with pytest.raises(SystemExit) as end:
        command.main(toy_task.options(folder, resume=True, **changes))
    assert contents(folder) == before
    message = str(end.value)
    assert "train under another --tag" in message and "\n" not in message
    return message


def test_another_codec(toy_task, finished):
    fingerprint = AudioCoding.from_pretrained(finished).fingerprint
    params = toy_task.codec_conf["generator_params"]
    message = refused(
        toy_task, finished, codec_conf={"generator_params": params | {"n_filters": 2}}
    )
    assert "another codec_conf.generator_params.n_filters (4 there, 2 now)" in message
    message = refused(toy_task, finished, codec_conf={"sampling_rate": 24000})
    assert "codec_conf.sampling_rate (16000 there, 24000 now)" in message
    message = refused(toy_task, finished, codec_conf={"lambda_commit": 2.0})
    assert "codec_conf.lambda_commit (not set there, 2.0 now)" in message
    assert AudioCoding.from_pretrained(finished).fingerprint == fingerprint


def test_other_data(toy_task, finished, tmp_path):
    shutil.copytree(toy_task.folder / "dump" / "raw" / "train", tmp_path / "more")
    config = yaml.safe_load((finished / "config.yaml").read_text())
    streams = config["train_data_path_and_name_and_type"]
    streams[0][0] = str(tmp_path / "more" / "wav.scp")
    message = refused(toy_task, finished, train_data_path_and_name_and_type=streams)
    assert "another train_data_path_and_name_and_type" in message
    assert "raw/train/wav.scp" in message and "more/wav.scp" in message
    message = refused(toy_task, finished, optim="sgd", chunk_length="6400")
    assert (
        "another chunk_length" in message and 'another optim ("adam" there, "sgd" now)' in message
    )


def test_a_longer_training_in_other_batches_goes_on(toy_task, finished):
    command.main(toy_task.options(finished, resume=True, max_epoch=3, batch_size=3, num_workers=1))
    assert (finished / "3epoch.pth").exists()
    assert yaml.safe_load((finished / "config.yaml").read_text())["batch_size"] == 3


def test_what_never_made_an_epoch_may_begin_otherwise(toy_task, finished):
    for weights in finished.glob("*.pth"):
        weights.unlink()
    command.main(toy_task.options(finished, resume=True, max_epoch=1, optim="sgd"))
    assert yaml.safe_load((finished / "config.yaml").read_text())["optim"] == "sgd"

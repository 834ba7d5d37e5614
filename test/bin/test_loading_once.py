"""No command loads a codec or opens an experiment twice: full-size codecs take their time."""

import shutil
from pathlib import Path
from unittest import mock

import pytest

from espnet_stacodec.bin import decode, dump_codes, pack, stacodec
from espnet_stacodec.inference import audio_coding
from espnet_stacodec.pretrained import packing
from espnet_stacodec.pretrained.experiment import Experiment


@pytest.fixture
def counted(monkeypatch):
    """Counts how often experiments are opened and codecs are loaded."""
    opened = mock.Mock(wraps=Experiment.open)
    loaded = mock.Mock(wraps=audio_coding.load_codec)
    monkeypatch.setattr(Experiment, "open", opened)
    monkeypatch.setattr(audio_coding, "load_codec", loaded)
    audio_coding.load_once.cache_clear()
    return opened, loaded


@pytest.mark.parametrize("command", [decode, dump_codes])
def test_commands_for_sets(command, counted, toy_task, plain_experiment, tmp_path):
    raw = toy_task.folder / "dump" / "raw"
    dump = tmp_path / "raw"
    for name in ("train", "valid"):
        shutil.copytree(raw / name, dump / name)
        utts = [line.split()[0] for line in (dump / name / "wav.scp").read_text().splitlines()]
        for file in ("text", "utt2spk"):
            (dump / name / file).write_text("".join(f"{utt} {utt}\n" for utt in utts))
    folders = ["--dump_dir", str(dump), "--out_dir", str(tmp_path / "out")]
    command.main(["--model", str(plain_experiment), *folders, "--sets", "train", "valid"])
    assert [count.call_count for count in counted] == [1, 1]


@pytest.mark.parametrize(
    "line, counts",
    [
        (["info", "MODEL"], [1, 1]),
        (["encode", "--model", "MODEL", "--out", "OUT", "AUDIO"], [1, 1]),
        (["encode", "--model", "ARCHIVE", "--out", "OUT", "AUDIO"], [1, 1]),
    ],
)
def test_the_stacodec_command(
    line, counts, counted, plain_experiment, toy_task, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    archive = tmp_path / "codec.zip"
    packing.pack(plain_experiment, archive)
    counted[0].reset_mock()
    places = {"MODEL": plain_experiment, "ARCHIVE": archive, "OUT": tmp_path / "out"}
    places["AUDIO"] = toy_task.folder / "dump" / "raw"
    stacodec.main([str(places.get(word, word)) for word in line])
    assert [count.call_count for count in counted] == counts


def test_pack(counted, plain_experiment, tmp_path: Path):
    pack.main(["--model", str(plain_experiment), "--out", str(tmp_path / "codec.zip")])
    assert [count.call_count for count in counted] == [1, 0]

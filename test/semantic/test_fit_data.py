"""A tokenizer is kept for the utterances that it was fitted on, and for no others."""

import shutil

import pytest

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.fileio.files import read_scp, write_scp
from espnet_stacodec.semantic.extract import extract
from espnet_stacodec.semantic.fit_data import NAME
from espnet_stacodec.semantic.tokenizer_info import UpstreamConfig

CONFIG = UpstreamConfig("mfcc", 0, 4)


def test_another_training_set_never_takes_the_tokenizer_of_the_first(dump_dir, tmp_path):
    out = tmp_path / "out"
    fingerprint = extract(CONFIG, dump_dir, "train", ["test"], out).fingerprint
    with pytest.raises(
        ConfigError, match=r"fitted on train of 6 utterances, not on this test of 5"
    ):
        extract(CONFIG, dump_dir, "test", ["test"], out)

    # The same name, and one utterance less.
    lengths = read_scp(dump_dir / "train" / "utt2num_samples")
    write_scp(dump_dir / "train" / "utt2num_samples", dict(list(lengths.items())[1:]))
    wavs = read_scp(dump_dir / "train" / "wav.scp")
    write_scp(dump_dir / "train" / "wav.scp", dict(list(wavs.items())[1:]))
    with pytest.raises(ConfigError, match=r"on train of 6 utterances, not on this train of 5"):
        extract(CONFIG, dump_dir, "train", ["test"], out)
    shutil.rmtree(out)
    assert extract(CONFIG, dump_dir, "train", ["test"], out).fingerprint != fingerprint


def test_moved_audio_is_the_same_training_set(dump_dir, tmp_path):
    out = tmp_path / "out"
    first = extract(CONFIG, dump_dir, "train", ["test"], out)
    dump_dir.rename(tmp_path / "elsewhere")
    for part in ("train", "test"):
        scp = tmp_path / "elsewhere" / part / "wav.scp"
        wavs = {utt: path.replace("/raw/", "/elsewhere/") for utt, path in read_scp(scp).items()}
        write_scp(scp, wavs)
    assert extract(CONFIG, tmp_path / "elsewhere", "train", ["test"], out) == first


def test_a_tokenizer_that_does_not_say_is_taken_as_it_is(dump_dir, tmp_path):
    first = extract(CONFIG, dump_dir, "train", ["test"], tmp_path / "out")
    (tmp_path / "out" / NAME).unlink()
    assert extract(CONFIG, dump_dir, "test", ["test"], tmp_path / "out") == first

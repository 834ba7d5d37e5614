"""Stage 3, `encode` and the command give a recording of minutes the same tokens."""

import numpy as np
import pytest
import soundfile
import torch

from espnet_stacodec import AudioCoding
from espnet_stacodec.bin import stacodec as command
from espnet_stacodec.fileio.audio import read_audio
from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.fileio.files import write_scp
from espnet_stacodec.pretrained.codec_tokenizer import CodecTokenizer
from espnet_stacodec.semantic.extract import extract, read_tokens
from espnet_stacodec.semantic.tokenizer_info import TokenizerInfo, UpstreamConfig

SECONDS = 180


@pytest.fixture(scope="module")
def dump_dir(tmp_path_factory):
    """One recording that gets louder and higher, so that every minute has other tokens."""
    folder = tmp_path_factory.mktemp("long") / "raw"
    time = np.arange(SECONDS * 16000) / 16000
    generator = np.random.default_rng(0)
    loudness = np.linspace(0.02, 0.3, len(time))
    tone = np.sin(2 * np.pi * np.cumsum(200 + 10 * time) / 16000)
    wave = loudness * (tone + 0.5 * generator.standard_normal(len(time)))
    path = folder / "train" / "wav" / "a.flac"
    path.parent.mkdir(parents=True)
    soundfile.write(path, wave, 16000, subtype="PCM_16")
    write_scp(folder / "train" / "wav.scp", {"a": path})
    write_scp(folder / "train" / "utt2num_samples", {"a": len(wave)})
    return folder


@pytest.mark.parametrize("kind", ["mfcc", "hubert", "whisper"])
def test_tokens(kind, dump_dir, sta_experiment, tmp_path, request):
    config = UpstreamConfig("mfcc", 0, 8)
    if kind != "mfcc":
        model = request.getfixturevalue(f"tiny_{kind}")
        config = UpstreamConfig(kind, 1, 8, "transformers", str(model))
    extract(config, dump_dir, "train", ["train"], tmp_path / "tokens")
    expected = read_tokens(tmp_path / "tokens" / "train" / "semantic.scp")["a"]
    assert len(np.unique(expected)) > 4
    codec = AudioCoding.from_pretrained(sta_experiment)
    codec.tokenizer = CodecTokenizer(tmp_path / "tokens", None)
    wave, rate = read_audio(dump_dir / "train" / "wav" / "a.flac")
    assert np.array_equal(codec.encode(wave, rate, n_codebooks=1)[0], expected)
    # Pieces have other tokens: what encoding them one by one would give.
    part = codec.tokenizer(torch.from_numpy(wave[: 60 * rate]), rate, "part")
    assert kind == "whisper" or not np.array_equal(part, expected[: len(part)])


def test_the_command(dump_dir, sta_experiment, tmp_path):
    import shutil

    extract(UpstreamConfig("mfcc", 0, 8), dump_dir, "train", ["train"], tmp_path / "tokens")
    experiment = tmp_path / "exp"
    shutil.copytree(sta_experiment, experiment, symlinks=True)
    shutil.rmtree(experiment / "semantic")
    shutil.copytree(tmp_path / "tokens", experiment / "semantic")
    config = (experiment / "config.yaml").read_text()
    new = TokenizerInfo.read(experiment / "semantic").fingerprint
    old = TokenizerInfo.read(sta_experiment / "semantic").fingerprint
    (experiment / "config.yaml").write_text(config.replace(old, new))
    audio = str(dump_dir / "train" / "wav" / "a.flac")
    command.main(["encode", "--model", str(experiment), "--out", str(tmp_path), audio])
    expected = read_tokens(tmp_path / "tokens" / "train" / "semantic.scp")["a"]
    assert np.array_equal(Codes.load(tmp_path / "a.npz").codes[0], expected)

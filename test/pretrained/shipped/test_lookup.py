"""Shipped codecs by name: in Python, on the command line, in ESPnet's configurations."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from espnet_stacodec import AudioCoding
from espnet_stacodec.bin import _demo, pack, stacodec
from espnet_stacodec.errors import ConfigError, ModelError
from espnet_stacodec.frontend.stacodec import STACodecFrontend
from espnet_stacodec.pretrained.experiment import Experiment
from espnet_stacodec.pretrained.shipped import lookup


@pytest.fixture
def small(spd_experiment: Path, tmp_path: Path, monkeypatch) -> Path:
    """The folder of a codec that is shipped under the default name."""
    monkeypatch.setattr(lookup, "FOLDER", tmp_path / "shipped")
    folder = tmp_path / "shipped" / lookup.DEFAULT_NAME
    shutil.copytree(spd_experiment, folder)
    return folder


def test_a_name_is_looked_up_before_folders_and_hubs(small, plain_experiment, tmp_path, caplog,
                                                     monkeypatch):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    expected = AudioCoding.from_pretrained(small).fingerprint
    assert AudioCoding.from_pretrained("small").fingerprint == expected
    assert caplog.text == ""
    # A folder of the user's can have that name.
    shutil.copytree(plain_experiment, "small")
    assert AudioCoding.from_pretrained("small").fingerprint == expected
    assert "small: the shipped codec; the folder here is ./small" in caplog.text
    other = AudioCoding.from_pretrained(plain_experiment).fingerprint
    for source in ("./small", Path("small"), Path("./small"), str(tmp_path / "small")):
        assert AudioCoding.from_pretrained(source).fingerprint == other


def test_errors_say_what_is_shipped(small):
    (small.parent / "__pycache__").mkdir()
    with pytest.raises(ModelError, match=r"Hugging Face repository; shipped codecs: small\.$"):
        AudioCoding.from_pretrained("smal")
    with pytest.raises(ConfigError, match=r"name of a shipped one \(shipped codecs: small\)"):
        STACodecFrontend()
    with pytest.raises(ModelError, match="^small: a shipped codec has no variants"):
        AudioCoding.from_pretrained("small", variant="stacodec_wavlm")
    with pytest.raises(ModelError, match="^small: no model gone.pth"):
        AudioCoding.from_pretrained("small", model_file="gone.pth")
    shutil.rmtree(small)
    with pytest.raises(ModelError, match=r"^small: neither .* shipped codecs: none\.$"):
        AudioCoding.from_pretrained("small")


def test_commands_without_a_model_use_the_shipped_one(small, noise, tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", noise(16100), 16000)
    codec = AudioCoding.from_pretrained(small)
    stacodec.main(["encode", str(tmp_path / "a.wav"), "--out", str(tmp_path / "codes")])
    stacodec.main(["decode", str(tmp_path / "codes/a.npz"), "--out", str(tmp_path / "wav")])
    decoded, _ = soundfile.read(tmp_path / "wav/a.wav")
    wave, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    expected = codec.decode(codec.encode(wave, 16000), 16100).numpy().clip(-1, 1)
    np.testing.assert_allclose(decoded, expected, atol=1e-4)
    stacodec.main(["info"])
    assert codec.fingerprint in capsys.readouterr().out


def test_streams_and_the_page_use_the_one_that_streams(
    small, streaming_experiment, noise, tmp_path, monkeypatch
):
    shutil.copytree(streaming_experiment, small.parent / lookup.STREAMING_NAME)
    wave = (noise(3200) * 2**15).astype("<i2")

    def piped(words: list[str], data: bytes) -> bytes:
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(data)
        with source.open() as stdin, target.open("w") as stdout, monkeypatch.context() as patched:
            patched.setattr(sys, "stdin", stdin)
            patched.setattr(sys, "stdout", stdout)
            stacodec.main(words)
        return target.read_bytes()

    codes = piped(["encode", "--stream", "-"], wave.tobytes())
    fingerprint = AudioCoding.from_pretrained(streaming_experiment).fingerprint
    assert codes[16:32].decode() == fingerprint
    assert len(piped(["decode", "--stream", "-"], codes)) == wave.nbytes

    opened: list[str] = []
    monkeypatch.setattr(_demo, "serve", lambda args, source: opened.append(source(args)))
    stacodec.main(["demo"])
    assert opened == [lookup.STREAMING_NAME]


@pytest.mark.parametrize("name", lookup.shipped_names())
def test_what_is_shipped_streams_as_its_name_says(name):
    assert AudioCoding.from_pretrained(name).is_causal == (name == lookup.STREAMING_NAME)


def test_a_folder_of_recipes_may_be_a_shipped_codec(small, tmp_path):
    pack.main(["--model", "small", "--out", str(tmp_path / "x.zip")])
    packed = AudioCoding.from_pretrained(tmp_path / "x.zip", cache_dir=tmp_path / "cache")
    assert packed.fingerprint == AudioCoding.from_pretrained(small).fingerprint


def test_the_frontend_takes_a_name(small, noise):
    frontend = STACodecFrontend("small")
    latents, lengths = frontend(torch.from_numpy(noise(3200))[None], torch.tensor([3200]))
    assert lengths.tolist() == [10] and latents.shape[:2] == (1, 10)


@pytest.mark.parametrize("name", lookup.shipped_names())
def test_what_is_shipped_works_without_an_ssl_model_or_a_network(name, tmp_path):
    """In a process that may not connect, and cannot import SSL libraries."""
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(16000) / 20).astype("f4") / 2, 16000)
    script = (
        "import sys\n"
        "sys.modules |= {'s3prl': None, 'transformers': None, 'huggingface_hub': None}\n"
        "def refuse(event, arguments):\n"
        "    assert event not in ('socket.connect', 'socket.getaddrinfo'), arguments\n"
        "sys.addaudithook(refuse)\n"
        "from espnet_stacodec.bin.stacodec import main\n"
        f"main(['encode', '--model', {name!r}, 'a.wav', '--out', 'codes'])\n"
        f"main(['decode', '--model', {name!r}, 'codes/a.npz', '--out', 'wav'])\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    assert len(soundfile.read(tmp_path / "wav/a.wav")[0]) == 16000
    opened = Experiment.open(name)
    assert opened.model_file.name == "model.safetensors"
    files = [path for path in opened.folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12_000_000

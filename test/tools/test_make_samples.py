"""tools/make_samples.py: choice, cuts, and the page."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_stacodec import AudioCoding
from espnet_stacodec.errors import DataError

TOOL = Path(__file__).resolve().parents[2] / "tools" / "make_samples.py"


@pytest.fixture(scope="module")
def make_samples():
    spec = importlib.util.spec_from_file_location("make_samples", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page(make_samples, spd_experiment, noise, tmp_path, monkeypatch):
    for index in range(5):
        (tmp_path / f"in/s{index}").mkdir(parents=True)
        soundfile.write(tmp_path / f"in/s{index}/v{index}.flac", noise(9000 + index), 16000)
    soundfile.write(tmp_path / "in/s0/v0.flac", noise(40000), 16000)
    out = tmp_path / "page"
    arguments = [str(tmp_path / "in"), "--model", str(spd_experiment), "--out", str(out)]
    arguments += ["--source", "noise, no licence", "--number", "3", "--seconds", "1"]
    arguments += ["--codebooks", "3", "1"]
    make_samples.main(arguments)
    text = (out / "README.md").read_text()
    links = re.findall(r"\]\((.*?)\)", text)
    assert links == [f"v{i}_{what}.flac" for i in (0, 2, 4) for what in ("original", "3", "1")]
    assert {path.name for path in out.iterdir()} == {*links, "README.md"}
    codec = AudioCoding.from_pretrained(spd_experiment)
    for part in (codec.fingerprint, "noise, no licence", "3 (0.55 kbit/s)", "1 (0.15 kbit/s)"):
        assert part in text
    original, _ = soundfile.read(out / "v0_original.flac", dtype="float32")
    assert 0.75 * 16000 <= len(original) <= 16000
    # What one hears is what encoding and decoding with so many codebooks gives.
    one, _ = soundfile.read(out / "v2_1.flac")
    wave, _ = soundfile.read(tmp_path / "in/s2/v2.flac", dtype="float32")
    expected = codec.decode(codec.encode(wave, 16000, n_codebooks=1), len(wave)).numpy()
    np.testing.assert_allclose(one, expected, atol=1e-4)
    # The page says how it was made: the same again gives the same files.
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "old.flac").touch()
    make_samples.main(arguments)
    assert before == {path.name: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setattr(make_samples, "MAX_BYTES", 1000)
    with pytest.raises(SystemExit, match="MB, and a page may have 0.001 MB; lower --number or"):
        make_samples.main(arguments)
    assert before == {path.name: path.read_bytes() for path in out.iterdir()}


def test_names_that_two_have_or_with_blanks(make_samples, spd_experiment, noise, tmp_path):
    for name in ("anna/001", "bert/001", "bert/a (b)"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / f"in/{name}.flac", noise(9000 + len(name)), 16000)
    out = tmp_path / "page"
    arguments = [str(tmp_path / "in"), "--model", str(spd_experiment), "--out", str(out)]
    make_samples.main([*arguments, "--source", "noise", "--number", "3", "--codebooks", "1"])
    links = re.findall(r"\[(?:original|1)\]\((\S+?)\)", (out / "README.md").read_text())
    assert len(set(links)) == 6
    assert {path.name for path in out.iterdir()} == {*links, "README.md"}


def test_a_cut_falls_into_a_pause(make_samples, noise):
    wave = noise(32000)
    wave[14000:14640] = 0
    assert 14000 < len(make_samples.cut(wave, 16000, 1.0)) < 14640
    assert len(make_samples.cut(wave[:16000], 16000, 1.0)) == 16000


def test_too_few_files(make_samples, tmp_path):
    with pytest.raises(DataError, match="0 audio files, and 2 are asked for"):
        make_samples.choose(tmp_path, 2)

"""Reading audio for the codec, and writing what it decodes."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.audio import (
    check_level,
    check_rate,
    read_audio,
    read_comment,
    resample,
    write_audio,
)


@pytest.mark.parametrize("rate", [0, -16000, 999, True, np.bool_(True)])
def test_rates_that_are_no_rate_of_speech(rate):
    with pytest.raises(DataError, match=f"^utt: the sampling rate of {rate} Hz is invalid"):
        check_rate(rate, "utt")


def test_rates_become_int():
    assert [check_rate(r, "x") for r in (1000, np.int64(16000), np.uint16(8000))] == [
        1000, 16000, 8000
    ]  # fmt: skip


def test_levels():
    assert check_level(0.99, lambda limit: 1.0, "x") == ""
    assert check_level(1.0, lambda limit: 0.01, "x") == ""
    assert check_level(1.0, lambda limit: 0.5, "x") == "50.0% of the samples are clipped."
    with pytest.raises(DataError, match="^utt: its peak is 32767, far .*divide them by 32768"):
        check_level(32767.0, lambda limit: 0.0, "utt")


def test_resampling_keeps_a_tone_and_says_so(caplog):
    tone = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000).astype(np.float32)
    with caplog.at_level(logging.INFO):
        assert resample(tone, 8000, 8000, "x") is tone
        assert not caplog.records
        found = resample(tone, 8000, 16000, "utt")
    assert caplog.messages == ["utt: resampled from 8000 Hz to 16000 Hz."]
    wanted = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert len(found) == 16000 and found.dtype == np.float32
    np.testing.assert_allclose(found[500:-500], wanted[500:-500], atol=1e-3)


def test_files_are_read_and_channels_averaged(tmp_path, caplog):
    samples = np.array([[0.5, 0.0], [-0.25, 0.25]])
    soundfile.write(tmp_path / "a.wav", samples, 22050, "FLOAT")
    with caplog.at_level(logging.INFO):
        wave, rate = read_audio(tmp_path / "a.wav")
    assert rate == 22050 and wave.tolist() == [0.25, 0.0]
    assert "2 channels averaged" in caplog.text


def test_a_file_that_does_not_say_how_long_it_is(tmp_path, headless_flac):
    path = headless_flac(tmp_path / "a.flac")
    with pytest.raises(DataError, match=r"a\.flac: its header does not say how long it is, as of"):
        read_audio(path)


def test_bad_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"a\.wav: no such audio file"):
        read_audio(tmp_path / "a.wav")
    (tmp_path / "a.wav").write_text("<html>")
    with pytest.raises(DataError, match=r"a\.wav: not readable as audio \(.+\)") as caught:
        read_audio(tmp_path / "a.wav")
    assert "\n" not in str(caught.value)
    soundfile.write(tmp_path / "b.wav", np.zeros(0), 16000)
    with pytest.raises(DataError, match=r"b\.wav: there are no samples"):
        read_audio(tmp_path / "b.wav")
    soundfile.write(tmp_path / "c.wav", np.array([0.0, np.nan, np.inf]), 16000, "FLOAT")
    with pytest.raises(DataError, match=r"c\.wav: 2 samples are NaN or infinite"):
        read_audio(tmp_path / "c.wav")
    (tmp_path / "d.raw").write_bytes(bytes(100))
    with pytest.raises(DataError, match=r"d\.raw: not readable as audio") as caught:
        read_audio(tmp_path / "d.raw")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_audio_that_was_written(tmp_path, noise, ending):
    path = tmp_path / "new" / f"a.{ending}"
    wave = 30 * noise(1000)
    write_audio(path, wave, 8000, "a comment")
    read, rate = read_audio(path)
    assert rate == 8000 and (abs(wave) > 1).any()
    np.testing.assert_allclose(read, wave.clip(-1, 1), atol=2**-15)
    assert soundfile.info(path).subtype == "PCM_16"
    assert read_comment(path) == "a comment"
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_comments_of_other_files(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(10), 8000)
    (tmp_path / "b.wav").write_text("<html>")
    (tmp_path / "c.raw").write_bytes(bytes(100))
    for name in ("a.wav", "b.wav", "c.raw"):
        assert read_comment(tmp_path / name) == ""


def test_a_full_disk(tmp_path, monkeypatch):
    """libsndfile would not tell; the file that was there stays."""

    def full(path, content):
        raise OSError(28, "No space left on device")

    write_audio(tmp_path / "a.wav", np.zeros(10), 8000)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_audio(tmp_path / "a.wav", np.zeros(20), 8000)
    assert len(read_audio(tmp_path / "a.wav")[0]) == 10
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


def test_names_that_are_not_utf8(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    write_audio(path, np.zeros(10), 8000, "c")
    assert len(read_audio(path)[0]) == 10 and read_comment(path) == "c"
    path.write_text("<html>")
    with pytest.raises(DataError, match="not readable as audio"):
        read_audio(path)

"""Reading audio for the codec."""

import logging

import numpy as np
import pytest
import soundfile

from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.audio import check_wave, read_audio, resample


def test_a_good_wave_becomes_float32():
    wave = check_wave(np.array([0.5, -1.0]), "x")
    assert wave.dtype == np.float32 and wave.tolist() == [0.5, -1.0]


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (np.zeros((2, 10), np.float32), r"one channel \(N,\), got shape \(2, 10\)"),
        (np.float32(0.0), r"got shape \(\)"),
        (np.zeros(0, np.float32), "no samples"),
        (np.zeros(10, np.int16), r"floating point samples in \[-1, 1\], got int16"),
        (np.zeros(10, np.complex64), "got complex64"),
        (np.array([0.0, np.nan, np.inf]), "2 samples are NaN or infinite"),
    ],
)
def test_bad_waves(wave, message):
    with pytest.raises(DataError, match=f"^utt: .*{message}"):
        check_wave(wave, "utt")


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

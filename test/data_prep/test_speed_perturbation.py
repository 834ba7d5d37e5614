"""Faster and slower copies of a set."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_stacodec.bin import perturb_speed as command
from espnet_stacodec.data_prep.audio_rules import AudioRules
from espnet_stacodec.data_prep.format_audio import format_set
from espnet_stacodec.data_prep.speed_perturbation import perturb_set
from espnet_stacodec.errors import ConfigError
from espnet_stacodec.fileio.data_dir import DataDir
from espnet_stacodec.fileio.files import read_scp

RATE, SECONDS = 16000, 2


@pytest.fixture
def formatted(tmp_path: Path) -> Path:
    """A set of one utterance: a tone of 400 Hz."""
    time = np.arange(RATE * SECONDS) / RATE
    soundfile.write(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * 400 * time), RATE)
    lists = {"a-1": str(tmp_path / "tone.wav")}, {"a-1": "a tone"}, {"a-1": "a"}, {"a-1": "on"}
    DataDir(*lists).write(tmp_path / "data")
    format_set(tmp_path / "data", tmp_path / "raw", AudioRules())
    return tmp_path / "raw"


def pitch(path: str) -> float:
    """Return the strongest frequency (Hz)."""
    samples, rate = soundfile.read(path)
    spectrum = np.abs(np.fft.rfft(samples))
    return float(np.fft.rfftfreq(len(samples), 1 / rate)[spectrum.argmax()])


def test_copies_are_faster_and_higher(formatted, tmp_path):
    out = tmp_path / "raw_sp"
    data = perturb_set(formatted, out, [0.8, 1.0, 1.25])
    assert DataDir.read(out) == data
    assert data.utt2spk == {"a-1": "a", "sp0.8-a-1": "sp0.8-a", "sp1.25-a-1": "sp1.25-a"}
    assert set(data.text.values()) == {"a tone"} and set(data.intent.values()) == {"on"}
    lengths = {utt_id: int(n) for utt_id, n in read_scp(out / "utt2num_samples").items()}
    assert lengths == {"a-1": 32000, "sp0.8-a-1": 40000, "sp1.25-a-1": 25600}
    for utt_id, hertz in (("a-1", 400), ("sp0.8-a-1", 320), ("sp1.25-a-1", 500)):
        assert soundfile.info(data.wav[utt_id]).frames == lengths[utt_id]
        assert pitch(data.wav[utt_id]) == pytest.approx(hertz, abs=1)
    assert data.wav["a-1"] == DataDir.read(formatted).wav["a-1"]


def test_copies_of_other_speeds_are_said(formatted, tmp_path):
    out = tmp_path / "raw_sp"
    options = ["--data_dir", str(formatted), "--out_dir", str(out), "--check", "--factors"]
    with pytest.raises(SystemExit, match="provenance.yaml: not there; run stage 2 first"):
        command.main([*options, "0.9"])
    perturb_set(formatted, out, [0.9, 1.0])
    command.main([*options, "1", ".9"])
    sentence = f"{out}: it has copies of the speeds 0.9 1, not of 0.9 1.1; run stage 2 again"
    with pytest.raises(SystemExit, match=sentence):
        command.main([*options, "0.9", "1.1"])
    assert set(DataDir.read(out).wav) == {"a-1", "sp0.9-a-1"}


def test_what_is_made_is_kept_and_other_factors_are_added(formatted, tmp_path):
    out = tmp_path / "raw_sp"
    made = Path(perturb_set(formatted, out, [0.9]).wav["sp0.9-a-1"]).stat().st_mtime_ns
    command.main(
        ["--data_dir", str(formatted), "--out_dir", str(out), "--factors", "0.9", "1", "1.1"]
    )
    data = DataDir.read(out)
    assert set(data.wav) == {"a-1", "sp0.9-a-1", "sp1.1-a-1"}
    assert Path(data.wav["sp0.9-a-1"]).stat().st_mtime_ns == made


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ([0.9, 0.0], r"speed of 0 is outside 0\.5\.\.2\.0"),
        ([-1.0], r"speed of -1 is outside"),
        ([2.5], r"speed of 2\.5 is outside"),
        ([0.9, 0.9], r"must differ, got 0\.9 0\.9"),
    ],
)
def test_factors_that_cannot_be(formatted, tmp_path, factors, message):
    with pytest.raises(ConfigError, match=message):
        perturb_set(formatted, tmp_path / "out", factors)
    assert not (tmp_path / "out").exists()

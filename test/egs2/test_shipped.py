"""What makes a codec that comes with the package: its data, and what its scripts refuse."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

RECIPE = Path(__file__).parents[2] / "egs2" / "folder" / "codec1"


def make_data(folder: Path, noise, voice: str) -> Path:
    """Return a folder with a recording of each kind."""
    places = (f"voices/train/{voice}", "voices/dev/other", "LibriSpeech/train-clean-100/9101/1")
    for place in (*places, "slurp/audio/slurp_real"):
        (folder / place).mkdir(parents=True)
        soundfile.write(folder / place / f"{voice}.flac", noise(1600), 16000)
    listed = folder / "slurp" / "dataset" / "slurp" / "train.jsonl"
    listed.parent.mkdir(parents=True)
    listed.write_text(json.dumps({"recordings": [{"file": f"{voice}.flac"}]}) + "\n")
    return folder


def test_only_the_recordings_of_the_last_call_are_trained_on(tmp_path, noise):
    for voice in ("one", "two"):
        data = make_data(tmp_path / voice, noise, voice)
        command = [sys.executable, str(RECIPE / "local/shipped_data.py"), str(data), "audio", "dev"]
        subprocess.run(command, cwd=tmp_path, check=True)
    links = {str(path.relative_to(tmp_path / "audio")) for path in tmp_path.glob("audio/*/*")}
    assert links == {"two/two.flac", "9101/two.flac", "slurp/two.flac"}
    assert (tmp_path / "dev" / "utt2spk").read_text() == "two other\n"


@pytest.mark.parametrize(
    ("call", "gone"),
    [
        ("run_shipped.sh small nowhere .", "nowhere/voices/train"),
        ("run_shipped.sh small data nowhere", "nowhere"),
        ("ship.sh small nowhere", "nowhere/voices/dev"),
    ],
)
def test_a_folder_that_is_not_there_is_named_before_anything_is_done(tmp_path, noise, call, gone):
    make_data(tmp_path / "data", noise, "a")
    script, *words = call.split()
    ran = subprocess.run(
        ["bash", RECIPE / script, *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 1
    assert ran.stderr == f"{RECIPE / script}: {gone}: there is no such folder.\n"

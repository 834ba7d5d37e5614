"""Audio from files, arks and commands, whole or in segments."""

import struct
import time
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile

from espnet_stacodec.bin import format_audio as command
from espnet_stacodec.data_prep.format_audio import format_set
from espnet_stacodec.data_prep.sources import OpenAudio, Part, Recording, Rejected
from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.data_dir import DataDir
from espnet_stacodec.fileio.files import read_scp

RATE = 16000
# Three seconds in which every sample is another one, so that a part tells where it was cut.
RAMP = (np.arange(3 * RATE) - 24000).astype(np.int16)


def format_lists(
    root: Path, wav: dict[str, str], segments: dict[str, str] | None = None, **options
) -> dict[str, np.ndarray]:
    """Format a set and return the samples (N,) int16 of each utterance that is kept."""
    speakers = dict.fromkeys(segments or wav, "s")
    DataDir(wav, {}, speakers, segments=segments or {}).write(root / "data")
    kept = format_set(root / "data", root / "out", **options).wav
    return {utt_id: soundfile.read(path, dtype="int16")[0] for utt_id, path in kept.items()}


@pytest.fixture
def ramp(tmp_path: Path) -> str:
    soundfile.write(tmp_path / "ramp.wav", RAMP, RATE)
    return str(tmp_path / "ramp.wav")


def rejections(root: Path) -> dict[str, str]:
    return read_scp(root / "out" / "rejected.txt")


def test_segments_are_cut_from_their_recordings(ramp, tmp_path):
    segments = {
        "a": "r 0 1",
        "b": "r 0.5 1.25",
        "c": "r 2 -1",  # to the end
        "d": "r 2.5 3.3",  # a little beyond it, as Kaldi allows
        "e": "r 2.5 3.6",
        "f": "r 3.0 3.2",
        "g": "r 1.00 1.05",
        "s": "s 0.25 1",
    }
    soundfile.write(tmp_path / "stereo.flac", np.stack([RAMP, RAMP], 1), RATE)
    cut = format_lists(tmp_path, {"r": ramp, "s": str(tmp_path / "stereo.flac")}, segments)
    spans = {
        "a": (0, 16000),
        "b": (8000, 20000),
        "c": (32000, 48000),
        "d": (40000, 48000),
        "s": (4000, 16000),
    }
    assert cut.keys() == spans.keys()
    for utt_id, (start, stop) in spans.items():
        np.testing.assert_array_equal(cut[utt_id], RAMP[start:stop])
    assert rejections(tmp_path) == {
        "e": "segment: it is 2.5 s to 3.6 s of a recording of 3 s",
        "f": "segment: it is 3 s to 3.2 s of a recording of 3 s",
        "g": "short: 0.050 s, at least 0.1 s are needed",
    }
    assert not (tmp_path / "out" / "segments").exists()
    assert set(DataDir.read(tmp_path / "out").utt2spk) == set(spans)


def test_segments_are_those_of_kaldiio(ramp, tmp_path):
    """ESPnet cuts with kaldiio; odd times show how samples are counted."""
    rng = np.random.default_rng(0)
    segments = {}
    for n in range(20):
        start, length = rng.uniform(0, 2), rng.uniform(0.2, 0.9)
        segments[f"u{n:02d}"] = f"r {start:.3f} {start + length:.3f}"
    cut = format_lists(tmp_path, {"r": ramp}, segments)
    theirs = kaldiio.load_scp(
        str(tmp_path / "data/wav.scp"), segments=str(tmp_path / "data/segments")
    )
    for utt_id in segments:
        np.testing.assert_array_equal(cut[utt_id], theirs[utt_id][1])


def test_an_edited_segment_is_cut_again_and_others_are_not(ramp, tmp_path):
    time.sleep(0.02)
    segments = {"a": "r 0 1", "b": "r 1 2"}
    format_lists(tmp_path, {"r": ramp}, segments)
    flac = tmp_path / "out" / "wav"
    before = (flac / "a.flac").stat().st_ino
    cut = format_lists(tmp_path, {"r": ramp}, segments | {"b": "r 1 2.5"})
    assert len(cut["b"]) == 24000
    assert (flac / "a.flac").stat().st_ino == before


@pytest.mark.parametrize("options", [{}, {"write_function": "soundfile"}], ids=["wav", "flac"])
def test_audio_from_an_ark(tmp_path, options):
    names = f"ark,scp:{tmp_path / 'a.ark'},{tmp_path / 'a.scp'}"
    with kaldiio.WriteHelper(names, **options) as writer:
        writer("u1", (RATE, RAMP))
        writer("u2", (8000, RAMP[::2]))
    wav = read_scp(tmp_path / "a.scp")
    assert wav["u2"].startswith(f"{tmp_path / 'a.ark'}:")
    made = format_lists(tmp_path, wav)
    np.testing.assert_array_equal(made["u1"], RAMP)
    assert len(made["u2"]) == 48000
    cut = format_lists(tmp_path, wav, {"x": "u1 1 2"})
    np.testing.assert_array_equal(cut["x"], RAMP[16000:32000])


def test_what_is_no_audio_in_an_ark_is_rejected(ramp, tmp_path):
    with kaldiio.WriteHelper(f"ark,scp:{tmp_path}/f.ark,{tmp_path}/f.scp") as writer:
        writer("f", np.zeros((5, 3), np.float32))
    with kaldiio.WriteHelper(f"ark:{tmp_path}/p.ark", write_function="pickle") as writer:
        writer("p", {"a": 1})
    wav = {
        "features": read_scp(tmp_path / "f.scp")["f"],
        "good": ramp,
        "pickle": f"{tmp_path}/p.ark:2",
        "beyond": f"{tmp_path}/f.ark:999",
    }
    assert set(format_lists(tmp_path, dict(sorted(wav.items())))) == {"good"}
    reasons = rejections(tmp_path)
    assert reasons["features"].startswith("broken: the ark holds features at this place")
    assert reasons["pickle"].startswith("broken: the ark holds a pickled object")
    assert reasons["beyond"].startswith("broken: no audio at this place of the ark")
    wav["features"] = f"{tmp_path}/gone.ark:7"
    with pytest.raises(DataError, match=r"features: its audio .*gone.ark is missing or unreadable"):
        format_lists(tmp_path, dict(sorted(wav.items())))


def test_a_file_whose_name_looks_like_a_place_in_an_ark_is_a_file(tmp_path):
    path = tmp_path / "take:12"
    soundfile.write(path, RAMP, RATE, format="WAV")
    np.testing.assert_array_equal(format_lists(tmp_path, {"a": str(path)})["a"], RAMP)


def test_commands_run_only_where_they_are_allowed(ramp, tmp_path):
    # A pipe inside and a quoted blank: a shell's command, as Kaldi's recipes have them.
    (tmp_path / "my take.wav").write_bytes(Path(ramp).read_bytes())
    wav = {"a": f"cat '{tmp_path}/my take.wav' | cat |", "b": ramp}
    with pytest.raises(
        DataError, match=r"data: a: its audio is the output of a command \('cat .*'"
    ):
        format_lists(tmp_path, wav)
    assert not (tmp_path / "out").exists()
    made = format_lists(tmp_path, wav, allow_commands=True)
    np.testing.assert_array_equal(made["a"], RAMP)
    cut = format_lists(tmp_path, wav, {"x": "a 1 2", "y": "a 2 3"}, allow_commands=True)
    np.testing.assert_array_equal(cut["y"], RAMP[32000:])


def test_a_command_is_run_once_for_all_segments_and_not_again(ramp, tmp_path):
    wav = {"r": f"echo run >> {tmp_path}/log; cat {ramp} |"}
    for _ in range(2):
        format_lists(tmp_path, wav, {"x": "r 1 2", "y": "r 2 3"}, allow_commands=True)
    assert (tmp_path / "log").read_text() == "run\n"


def test_commands_that_fail_are_rejected_with_what_they_said(ramp, tmp_path):
    wav = {
        "a": "echo first >&2; echo no such tape >&2; exit 3 |",
        "b": "echo no audio |",
        "c": "true |",
        "good": f"cat {ramp} |",
    }
    assert set(format_lists(tmp_path, wav, allow_commands=True)) == {"good"}
    reasons = rejections(tmp_path)
    assert reasons["a"] == "broken: its command ended with status 3 (no such tape)"
    assert reasons["b"].startswith("broken: ") and reasons["c"].startswith("broken: ")


def test_a_stream_whose_header_does_not_know_its_length(ramp, tmp_path):
    """As sox and ffmpeg write into pipes."""
    content = bytearray(Path(ramp).read_bytes())
    content[4:8] = struct.pack("<I", 0xFFFFFFFF)
    content[40:44] = struct.pack("<I", 0x7FFFF000)
    (tmp_path / "stream.wav").write_bytes(content)
    made = format_lists(tmp_path, {"a": f"cat {tmp_path}/stream.wav |"}, allow_commands=True)
    np.testing.assert_array_equal(made["a"], RAMP)


def test_flac_whose_header_does_not_know_its_length(ramp, headless_flac, tmp_path):
    piped = headless_flac(tmp_path / "piped.flac")
    wav = {"a": str(piped), "b": f"cat {piped} |", "good": ramp}
    assert set(format_lists(tmp_path, wav, allow_commands=True)) == {"good"}
    for reason in map(rejections(tmp_path).get, ("a", "b")):
        assert reason is not None
        assert reason.startswith("length: its header does not say how long it is")


def test_the_command_line_allows_commands(ramp, tmp_path):
    DataDir({"a": f"cat {ramp} |"}, {}, {"a": "a"}).write(tmp_path / "data")
    folders = ["--data_dir", str(tmp_path / "data"), "--out_dir", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="run.sh is given --allow_commands true"):
        command.main(folders)
    command.main([*folders, "--allow_commands", "--nj", "2"])
    assert DataDir.read(tmp_path / "out").wav


@pytest.mark.parametrize("format_", ["MP3", "OGG", "AIFF", "CAF"])
def test_parts_of_other_formats(tmp_path, format_):
    path = tmp_path / "a"
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(3 * RATE) / RATE)
    soundfile.write(path, tone, RATE, format=format_)
    whole, _ = soundfile.read(path, dtype="float32")
    with OpenAudio.open(Recording(str(path), (Part("a"),))) as audio:
        assert audio.span(Part("a")) == (0, 3 * RATE)
        for start in (20000, 8000, 0, 1000, 47000):
            part = audio.read(start, start + 1000)[:, 0]
            np.testing.assert_allclose(part, whole[start : start + 1000], atol=1e-6)


def test_a_missing_file_is_not_a_command_or_an_ark(tmp_path):
    for entry in (f"{tmp_path}/gone.wav", f"{tmp_path}/gone.ark:3", str(tmp_path)):
        recording = Recording(entry, (Part("a"),))
        assert recording.command is None
    with pytest.raises(Rejected, match="status 127"):
        OpenAudio.open(Recording("no_such_program_x |", (Part("a"),)))

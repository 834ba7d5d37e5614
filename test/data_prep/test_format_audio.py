"""Stage 2: formatting, filtering, and going on after an interruption."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_stacodec.bin import format_audio as command
from espnet_stacodec.data_prep.audio_rules import AudioRules
from espnet_stacodec.data_prep.format_audio import MAX_ID_BYTES, format_set
from espnet_stacodec.errors import ConfigError, DataError
from espnet_stacodec.fileio.data_dir import DataDir
from espnet_stacodec.fileio.files import read_scp
from espnet_stacodec.parallel import Workers

NOISE = (np.random.default_rng(0).standard_normal(8000) * 3000).astype(np.int16)


def write_set(root: Path, audio: dict[str, Path]) -> Path:
    names = dict.fromkeys(audio, "x")
    wav = {utt_id: str(path) for utt_id, path in audio.items()}
    DataDir(wav, names, names, names).write(root / "data")
    return root / "data"


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    """Audio of every kind: good, short, long, silent, broken."""
    audio = {
        "good": (NOISE, 16000),
        "stereo44": (np.stack([NOISE, NOISE], axis=1), 44100),
        "low8": (NOISE, 8000),
        "short": (NOISE[:1599], 16000),
        "long": (np.zeros(16000 * 41, np.int16), 16000),
        "silent": (NOISE // 3000, 16000),
        "zero": (NOISE * 0, 16000),
    }
    for utt_id, (samples, rate) in audio.items():
        soundfile.write(tmp_path / f"{utt_id}.flac", samples, rate)
    soundfile.write(tmp_path / "empty.wav", NOISE[:0], 16000)
    whole = (tmp_path / "good.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "page.flac").write_bytes(b"<html>")
    not_finite = np.where(np.arange(8000) == 100, np.nan, NOISE / 32768).astype(np.float32)
    soundfile.write(tmp_path / "nan.wav", not_finite, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "loud.wav", NOISE.astype(np.float32), 16000, subtype="FLOAT")
    return {path.stem: path for path in tmp_path.iterdir()}


KEPT = {"good": 8000, "stereo44": 2902, "low8": 16000}


def test_kept_and_rejected(sources, tmp_path, caplog):
    caplog.set_level("INFO")
    out = tmp_path / "out"
    returned = format_set(write_set(tmp_path, sources), out)
    assert {u: int(n) for u, n in read_scp(out / "utt2num_samples").items()} == KEPT
    written = DataDir.read(out)
    assert written == returned
    assert set(written.wav) == set(written.intent) == set(KEPT)
    for utt_id, path in written.wav.items():
        assert path == f"{out}/wav/{utt_id}.flac"
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        assert (info.format, info.frames) == ("FLAC", KEPT[utt_id])
    rejected = read_scp(out / "rejected.txt")
    reasons = {utt_id: reason.split(":")[0] for utt_id, reason in rejected.items()}
    assert reasons == {
        "short": "short", "empty": "short", "long": "long", "silent": "silent", "zero": "silent",
        "cut": "broken", "page": "broken", "nan": "broken", "loud": "loud",
    }  # fmt: skip
    assert rejected["short"] == "short: 0.100 s, at least 0.1 s are needed"
    peak = int(abs(NOISE).max())
    assert rejected["loud"].startswith(f"loud: its peak is {peak} and full scale is 1; perhaps")
    counts = "rejected 9 (rejected.txt): 3 broken, 2 short, 2 silent, 1 long, 1 loud"
    assert f"kept 3 utterances (0.00 h), {counts}" in caplog.text
    assert rejected["zero"] == "silent: its peak is -inf dB, below -60.0 dB"


def test_sixteen_bit_mono_is_unchanged_and_channels_are_averaged(tmp_path):
    loud = NOISE.copy()
    loud[:2] = 32767, -32768
    soundfile.write(tmp_path / "mono.wav", loud, 16000)
    soundfile.write(tmp_path / "two.wav", np.stack([loud, loud * 0], axis=1), 16000)
    audio = {name: tmp_path / f"{name}.wav" for name in ("mono", "two")}
    wav = format_set(write_set(tmp_path, audio), tmp_path / "out").wav
    np.testing.assert_array_equal(soundfile.read(wav["mono"], dtype="int16")[0], loud)
    halves = soundfile.read(wav["two"], dtype="int16")[0]
    np.testing.assert_array_equal(halves, np.rint(loud / 2))


def test_clipped_audio_is_counted_also_by_a_later_run(tmp_path, caplog):
    clean = np.clip(NOISE / 32768 * 2, -0.99, 0.99).astype(np.float32)
    audio = {}
    for utt_id, loudest in {"a": 0, "b": 80, "c": 200, "d": 400}.items():
        wave = clean.copy()
        wave[:loudest] = 1.5  # more than 1 % of 8000 samples are 81
        audio[utt_id] = tmp_path / f"{utt_id}.wav"
        soundfile.write(audio[utt_id], wave, 16000, subtype="FLOAT")
    settle()
    data = write_set(tmp_path, audio)
    for _ in range(2):
        caplog.clear()
        format_set(data, tmp_path / "out")
        said = "2 utterances have more than 1 % of their samples at full scale, clipped (most: d, 5"
        assert said in caplog.text


def test_resampling_keeps_a_tone(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(44100) / 44100)
    soundfile.write(tmp_path / "tone.wav", tone, 44100, subtype="FLOAT")
    wav = format_set(write_set(tmp_path, {"tone": tmp_path / "tone.wav"}), tmp_path / "out").wav
    found, rate = soundfile.read(wav["tone"])
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert rate == 16000 and len(found) == 16000
    np.testing.assert_allclose(found[500:-500], wanted[500:-500], atol=1e-4)


def test_two_processes_give_the_same_bytes(sources, tmp_path):
    data = write_set(tmp_path, sources)
    for num_jobs in (1, 2):
        with Workers(num_jobs) as workers:
            format_set(data, tmp_path / str(num_jobs), workers=workers)
    one, two = tmp_path / "1", tmp_path / "2"
    names = sorted(str(path.relative_to(one)) for path in one.rglob("*") if path.is_file())
    assert names == sorted(str(p.relative_to(two)) for p in two.rglob("*") if p.is_file())
    assert len(names) == len(KEPT) + 10
    for name in names:
        if name != "wav.scp":  # it names the folder
            assert (one / name).read_bytes() == (two / name).read_bytes(), name


def made_anew(out: Path, call) -> set[str]:
    """Return the utterances whose file `call` writes again."""

    def versions() -> dict[str, tuple[int, int]]:
        found = {path.stem: path.stat() for path in (out / "wav").iterdir()}
        return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}

    before = versions()
    call()
    return {name for name, version in versions().items() if before.get(name) != version}


def settle() -> None:
    """Let the clock of the file system move on."""
    time.sleep(0.02)


def test_a_rerun_keeps_what_is_still_right(tmp_path, dead_temporary):
    for name in "abc":
        soundfile.write(tmp_path / f"{name}.wav", NOISE, 16000)
    settle()
    audio = {name: tmp_path / f"{name}.wav" for name in "abc"}
    data, out = write_set(tmp_path, audio), tmp_path / "out"
    format_set(data, out)
    dead_temporary(out / "wav", ".flac").write_bytes(b"half")  # of a call that was killed
    (out / "wav" / "c.flac").unlink()
    assert made_anew(out, lambda: format_set(data, out)) == {"c"}
    assert made_anew(out, lambda: format_set(data, out)) == set()

    settle()
    soundfile.write(tmp_path / "a.wav", NOISE[:4000], 16000)
    os.utime(tmp_path / "a.wav", (0, 0))  # as tar does
    settle()
    assert made_anew(out, lambda: format_set(data, out)) == {"a"}
    assert read_scp(out / "utt2num_samples")["a"] == "4000"

    swapped = audio | {"b": tmp_path / "c.wav"}
    write_set(tmp_path, swapped)
    assert made_anew(out, lambda: format_set(data, out)) == {"b"}

    (out / "wav" / "c.flac").write_bytes(b"")  # a machine that lost power
    assert made_anew(out, lambda: format_set(data, out)) == {"c"}

    whole = (out / "wav" / "c.flac").read_bytes()
    (out / "wav" / "c.flac").write_bytes(whole[:-100])  # a copy that was interrupted
    assert made_anew(out, lambda: format_set(data, out)) == {"c"}
    assert (out / "wav" / "c.flac").read_bytes() == whole

    rules = AudioRules(min_seconds=0.4)
    assert made_anew(out, lambda: format_set(data, out, rules)) == {"b", "c"}
    assert set(DataDir.read(out).wav) == {"b", "c"}


def test_all_rejected(tmp_path):
    soundfile.write(tmp_path / "a.wav", NOISE[:10], 16000)
    data, out = write_set(tmp_path, {"a": tmp_path / "a.wav"}), tmp_path / "out"
    with pytest.raises(DataError, match=r"every one of the 1 utterances was rejected \(a: short"):
        format_set(data, out)
    assert read_scp(out / "rejected.txt").keys() == {"a"}
    assert not (out / "wav.scp").exists()


def test_bad_input(tmp_path):
    soundfile.write(tmp_path / "a.wav", NOISE, 16000)
    out = tmp_path / "out"
    data = write_set(tmp_path, {"a": tmp_path / "a.wav", "b": tmp_path / "b.wav"})
    with pytest.raises(DataError, match=r"data: b: its audio .*b.wav is missing or unreadable"):
        format_set(data, out)
    data = write_set(tmp_path, {"x/a": tmp_path / "a.wav"})
    with pytest.raises(DataError, match="'x/a' has a '/'"):
        format_set(data, out)
    data = write_set(tmp_path, {"ü" * 65: tmp_path / "a.wav"})
    with pytest.raises(
        DataError, match=r"the utterance id 'ü+\.\.\.' has 130 bytes and cannot name"
    ):
        format_set(data, out)
    with pytest.raises(ConfigError, match=r"from 2.0 to 1.0 s"):
        AudioRules(min_seconds=2.0, max_seconds=1.0)
    assert not out.exists()


def test_the_longest_id_names_files_in_all_stages(tmp_path):
    soundfile.write(tmp_path / "a.wav", NOISE, 16000)
    longest = "x" * MAX_ID_BYTES
    wav = format_set(write_set(tmp_path, {longest: tmp_path / "a.wav"}), tmp_path / "out").wav
    assert Path(wav[longest]).exists()


def test_full_disk_names_utterance_and_file(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", NOISE, 16000)
    data, out = write_set(tmp_path, {"a": tmp_path / "a.wav"}), tmp_path / "out"

    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DataError, match=r"^a: .*a.flac cannot be written \(No space left"):
        format_set(data, out)
    assert list((out / "wav").iterdir()) == []


def test_error_in_a_worker_fails_the_command(tmp_path):
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", NOISE, 16000)
    data = write_set(tmp_path, {name: tmp_path / f"{name}.wav" for name in "ab"})
    (tmp_path / "out" / "wav").mkdir(parents=True)
    (tmp_path / "out" / "wav" / "b.flac").mkdir()  # cannot be replaced by a file
    with pytest.raises(SystemExit) as end:
        command.main(["--data_dir", str(data), "--out_dir", str(tmp_path / "out"), "--nj", "2"])
    assert "error: b: " in str(end.value.code)
    assert not (tmp_path / "out" / "wav.scp").exists()


def test_killed_command_leaves_no_worker_and_goes_on(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.tile(NOISE, 20), 44100)
    data = write_set(tmp_path, {f"u{n:03d}": tmp_path / "a.wav" for n in range(80)})
    out = tmp_path / "out"
    options = ["--data_dir", str(data), "--out_dir", str(out), "--nj", "2"]
    run = subprocess.Popen([sys.executable, "-m", "espnet_stacodec.bin.format_audio", *options])
    while not list(out.glob("wav/u*.flac")):
        time.sleep(0.01)
        assert run.poll() is None
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    run.kill()
    run.wait()
    assert len(children) >= 2
    give_up = time.monotonic() + 10
    while any(Path("/proc", child).exists() for child in children):
        time.sleep(0.01)
        assert time.monotonic() < give_up
    done = len(list(out.glob("wav/u*.flac")))
    assert not (out / "wav.scp").exists()
    assert len(made_anew(out, lambda: format_set(data, out))) == 80 - done


def test_command_on_the_stand_in(shared, tmp_path):
    chapter = shared / "data" / "LibriSpeech" / "dev-clean" / "9204" / "920400"
    if not chapter.is_dir():
        pytest.skip("../shared/data/LibriSpeech is not there")
    audio = {path.stem: path for path in chapter.glob("*.flac")}
    data = write_set(tmp_path, audio)
    command.main(["--data_dir", str(data), "--out_dir", str(tmp_path / "out"), "--nj", "2"])
    for utt_id, path in DataDir.read(tmp_path / "out").wav.items():
        wanted, _ = soundfile.read(audio[utt_id], dtype="int16")
        np.testing.assert_array_equal(soundfile.read(path, dtype="int16")[0], wanted)

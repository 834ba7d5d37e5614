"""The `stacodec` command, and what all commands have in common."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_stacodec import __version__
from espnet_stacodec.bin.stacodec import main
from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.inference.audio_coding import AudioCoding

BIN = Path(__file__).resolve().parents[2] / "espnet_stacodec" / "bin"
# `train` shows ESPnet's options and has to import it for that.
COMMANDS = sorted({path.stem for path in BIN.glob("[a-z]*.py")} - {"train"})

ANSWERS = """
import contextlib, importlib, io, json, sys
answers = {}
for name in sys.argv[1:]:
    main = importlib.import_module(f"espnet_stacodec.bin.{name}").main
    lines = [["--help"], ["--nonsense", "1"]]
    if name == "stacodec":
        lines += [[], ["encode", "--help"], ["encode", "a.wav"], ["decode", "--help"],
                  ["info", "--help"], ["nonsense"]]
    for line in lines:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main(line)
                status = None
            except SystemExit as end:
                status = end.code
        answers[" ".join([name, *line])] = [status, out.getvalue(), err.getvalue()]
heavy = sorted({"torch", "espnet2", "s3prl", "transformers", "sklearn", "scipy"} & set(sys.modules))
print(json.dumps([answers, heavy]))
"""


def test_help_and_usage_errors_load_nothing_heavy():
    """They answer within two seconds; importing torch alone may take longer."""
    run = subprocess.run(
        [sys.executable, "-c", ANSWERS, *COMMANDS], capture_output=True, text=True, check=True
    )
    answers, heavy = json.loads(run.stdout)
    assert heavy == []
    assert len(answers) == 2 * len(COMMANDS) + 6
    for line, (status, out, err) in answers.items():
        if "--help" in line:
            assert status == 0 and "usage: " in out, line
            without = ("stacodec --help", "espnet --help")  # each of their commands has its own
            assert ("--debug" in out) != (line in without), line
        else:
            assert status == 2 and "error: " in err, line
    assert "encode" in answers["stacodec --help"][1]
    assert "--model" in answers["stacodec encode a.wav"][2]


@pytest.fixture
def audio(tmp_path: Path, toy_utterance) -> Path:
    """Files of 1 s, and of 0.9 s at another rate with two channels."""
    folder = tmp_path / "in"
    folder.mkdir()
    wave, _ = toy_utterance(1, 50)
    soundfile.write(folder / "a.wav", wave, 16000)
    soundfile.write(folder / "b.flac", np.stack([wave, wave], 1)[:14400], 16000)
    soundfile.write(folder / "low.wav", wave[:8001], 8000)
    return folder


def test_encode_and_decode(plain_experiment, audio, tmp_path):
    model = ["--model", str(plain_experiment)]
    codes, wav = tmp_path / "codes", tmp_path / "wav"
    files = [audio / "a.wav", audio / "b.flac", audio / "low.wav"]
    main(["encode", *model, "--out", str(codes), *map(str, files)])
    lengths = {"a": 16000, "b": 14400, "low": 16002}
    assert {path.name for path in codes.iterdir()} == {f"{name}.npz" for name in lengths}
    codec = AudioCoding.from_pretrained(plain_experiment)
    for name, length in lengths.items():
        found = Codes.load(codes / f"{name}.npz")
        assert (found.num_samples, found.sample_rate) == (length, 16000)
        assert found.codes.shape == (3, -(-length // 320))
        assert found.fingerprint == codec.fingerprint
    expected = codec.encode(soundfile.read(files[0], dtype="float32")[0], 16000)
    assert np.array_equal(Codes.load(codes / "a.npz").codes, expected)

    main(["decode", *model, "--out", str(wav), *(str(codes / f"{n}.npz") for n in lengths)])
    for name, length in lengths.items():
        decoded, rate = soundfile.read(wav / f"{name}.wav")
        assert (len(decoded), rate) == (length, 16000)
        found = Codes.load(codes / f"{name}.npz")
        wanted = codec.decode(found.codes, length).numpy().clip(-1, 1)
        np.testing.assert_allclose(decoded, wanted, atol=1e-4)


def test_info(plain_experiment, sta_experiment, capsys):
    main(["info", str(plain_experiment)])
    text = capsys.readouterr().out
    for expected in ("16000 Hz", "320 samples (50 per second)", "3 of 16 entries (0.60 kbit/s)",
                     "plain RVQ", "million", "valid.mel_loss.best.pth"):  # fmt: skip
        assert expected in text
    assert AudioCoding.from_pretrained(plain_experiment).fingerprint in text
    main(["info", str(sta_experiment), "--model_file", "1epoch.pth"])
    text = capsys.readouterr().out
    assert "toy_km8, 8 tokens, fingerprint" in text and "1epoch.pth" in text


def error_of(*argv: object) -> str:
    """Return the one sentence that a failing command ends with."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in argv])
    sentence = end.value.code
    assert isinstance(sentence, str) and "\n" not in sentence
    return sentence.removeprefix("stacodec: error: ")


def test_errors_name_the_file(plain_experiment, sta_experiment, audio, tmp_path):
    encode = ("encode", "--model", plain_experiment, "--out", tmp_path / "out")
    assert error_of(*encode, audio / "no.wav") == f"{audio}/no.wav: no such audio file."
    (audio / "page.wav").write_text("<html>")
    assert "page.wav: not readable as audio" in error_of(*encode, audio / "page.wav")
    soundfile.write(audio / "nan.wav", np.full(100, np.nan), 16000, "FLOAT")
    assert "nan.wav: 100 samples are NaN" in error_of(*encode, audio / "nan.wav")
    assert not (tmp_path / "out").exists()
    with_tokens = ("encode", "--model", sta_experiment, "--out", tmp_path / "out")
    sentence = error_of(*with_tokens, audio / "a.wav")
    assert "semantic/tokenizer.yaml: these tokens were precomputed" in sentence
    missing = error_of("info", tmp_path / "nothing" / "at" / "all")
    assert "neither a folder nor an archive nor an id of a Hugging Face repository;" in missing


def test_files_that_would_overwrite_each_other(plain_experiment, audio, tmp_path):
    (audio / "a.flac").write_bytes(b"")
    files = (audio / "a.wav", audio / "a.flac")
    sentence = error_of("encode", "--model", plain_experiment, "--out", tmp_path / "out", *files)
    assert sentence == (
        f"2 of 2 files failed; the first: {files[0]} and {files[1]} would both become"
        f" {tmp_path}/out/a.npz; rename one."
    )
    assert not (tmp_path / "out").exists()


def test_lists_and_folders(plain_experiment, audio, tmp_path, monkeypatch):
    """All that was usable is there, the second call does only the rest, the status is 1."""
    (audio / "sub").mkdir()
    (audio / "low.wav").rename(audio / "sub" / "a.wav")
    (audio / "page.wav").write_text("<html>")
    listed = f"{audio}\n{tmp_path}/no.wav\n"
    model, out = ("--model", plain_experiment), tmp_path / "codes"
    (tmp_path / "files.txt").write_text(listed)
    sentence = error_of(
        "encode", *model, "--out", out, "--root", audio.parent, tmp_path / "files.txt"
    )
    assert sentence.startswith("2 of 5 files failed; the first: ")
    made = {path.relative_to(out) for path in out.rglob("*.npz")}
    assert made == {Path(f"in/{name}.npz") for name in ("a", "b", "sub/a")}
    times = [path.stat().st_mtime_ns for path in sorted(out.rglob("*.npz"))]
    (audio / "page.wav").unlink()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"{audio}\n".encode())))
    main(["encode", *map(str, model), "--out", str(out / "in"), "-"])
    assert times == [path.stat().st_mtime_ns for path in sorted(out.rglob("*.npz"))]
    assert "no.wav: no such" in error_of(
        "encode", *model, "--out", out, "--strict", tmp_path / "no.wav", audio
    )
    main(["decode", *map(str, model), "--out", str(tmp_path / "wav"), "--format", "flac", str(out)])
    assert {path.name for path in (tmp_path / "wav" / "in" / "sub").iterdir()} == {"a.flac"}


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"stacodec {__version__}\n"


def test_codes_that_do_not_belong_to_the_codec(plain_experiment, tmp_path):
    fingerprint = AudioCoding.from_pretrained(plain_experiment).fingerprint
    path = tmp_path / "a.npz"
    decode = ("decode", "--model", plain_experiment, "--out", tmp_path / "out", path)
    assert "a.npz: not a readable file of codes" in error_of(*decode)
    codes = np.zeros((3, 5), int)
    Codes(codes, 1600, 16000, "0" * 16).save(path)
    assert f"a.npz: these codes were made by codec {'0' * 16}, " in error_of(*decode)
    Codes(codes, 1900, 16000, fingerprint).save(path)
    assert "a.npz: num_samples 1900 does not fit codes of 5 frames" in error_of(*decode)
    Codes(codes + 16, 1600, 16000, fingerprint).save(path)
    assert "a.npz: Code 16 of codebook 1, frame 0, is outside 0..15" in error_of(*decode)
    assert not (tmp_path / "out").exists()


def test_debug_shows_where_an_error_comes_from(plain_experiment, tmp_path):
    encode = ["encode", "--model", str(plain_experiment), "--out", str(tmp_path)]
    with pytest.raises(DataError, match="no such audio file"):
        main([*encode, str(tmp_path / "no.wav"), "--debug"])


def test_a_full_disk_is_one_sentence(plain_experiment, audio, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    encode = ("encode", "--model", plain_experiment, "--out", tmp_path / "out", audio / "a.wav")
    assert "No space left on device" in error_of(*encode)
    assert list((tmp_path / "out").iterdir()) == []


def test_log_levels_are_checked(plain_experiment, capsys):
    with pytest.raises(SystemExit) as end:
        main(["info", str(plain_experiment), "--log_level", "LOUD"])
    assert end.value.code == 2
    assert "invalid choice: 'LOUD'" in capsys.readouterr().err
    main(["info", str(plain_experiment), "--log_level", "warning"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--repeats", "0"], "--repeats 0 is invalid; it must be 1 or more"),
        (["--threads", "0"], "--threads 0 is invalid"),
        (["--seconds", "-1"], "--seconds -1.0 is invalid; give more than 0"),
        (["--minutes", "nan"], "--minutes nan is invalid; give more than 0"),
        (["--published", "."], "measured with the part encode; add it to --only"),
        (["--only", "encode", "--published", "no"], "--published no: it has no past/models"),
    ],
)
def test_a_benchmark_of_nothing(words, message):
    with pytest.raises(SystemExit, match=message):
        main(["benchmark", "--only", "streaming", *words])


@pytest.mark.parametrize("variant", [[], ["--variant", "small_spd"]])
def test_the_revision_that_is_asked_for_reaches_the_hub(variant, monkeypatch):
    asked = []

    def download(repository: str, **options: str | None) -> str:
        asked.append((repository, options["revision"]))
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(SystemExit, match="owner/codec: neither a folder here nor available"):
        main(["info", "owner/codec", *variant, "--hub_revision", "v1"])
    assert asked == [("owner/codec", "v1")]

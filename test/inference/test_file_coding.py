"""Many files through a codec."""

import dataclasses
import errno
import logging
import os
import pickle
import stat
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import soundfile

from espnet_stacodec.errors import ConfigError, DataError, TokenError
from espnet_stacodec.fileio.audio import read_audio
from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.inference.audio_coding import load_once
from espnet_stacodec.inference.file_coding import FileDecoder, FileEncoder, Summary, code_files
from espnet_stacodec.parallel import Workers


@pytest.fixture
def audio(tmp_path: Path, noise) -> Path:
    """Two files, the same name in two folders."""
    for number, name in enumerate(["x.wav", "sub/x.flac"]):
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, noise(3200 + 100 * number, number), 16000)
    return tmp_path / "in"


@pytest.fixture
def encoder(plain_experiment) -> FileEncoder:
    return FileEncoder(plain_experiment)


def coded(coder, inputs, out_dir, num_jobs=1, **options) -> tuple[int, int, int]:
    """Return how many files were written, done already, and could not be used."""
    with Workers(num_jobs) as workers:
        summary = code_files(coder, inputs, out_dir, workers, **options)
    return summary.written, summary.skipped, len(summary.failures)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_folder_to_codes_and_back(encoder, audio, tmp_path):
    codes, wav = tmp_path / "codes", tmp_path / "wav"
    assert coded(encoder, [audio], codes) == (2, 0, 0)
    assert set(contents(codes)) == {"x.npz", "sub/x.npz"}
    for name, source in (("x", "x.wav"), ("sub/x", "sub/x.flac")):
        found = Codes.load(codes / f"{name}.npz")
        expected = encoder.codec.encode_file(audio / source)
        assert np.array_equal(found.codes, expected.codes)
        assert (found.num_samples, found.sample_rate) == (expected.num_samples, 16000)
        assert found.fingerprint == expected.fingerprint and len(found.made_from) == 16
    for kind in ("wav", "flac"):
        decoder = FileDecoder(encoder.model, file_format=kind)
        assert coded(decoder, [codes], wav) == (2, 0, 0)
        decoded, rate = read_audio(wav / "sub" / f"x.{kind}")
        wanted = encoder.codec.decode(Codes.load(codes / "sub" / "x.npz")).numpy()
        assert rate == 16000 and len(decoded) == 3300
        np.testing.assert_allclose(decoded, wanted.clip(-1, 1), atol=1e-4)
        assert soundfile.info(wav / f"x.{kind}").subtype == "PCM_16"
    # Programs that read WAV by position find the samples behind 44 bytes.
    assert (wav / "x.wav").read_bytes()[36:40] == b"data"


def test_processes_make_the_same_files(encoder, audio, tmp_path):
    assert coded(encoder, [audio], tmp_path / "one") == (2, 0, 0)
    assert coded(encoder, [audio], tmp_path / "two", num_jobs=2) == (2, 0, 0)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert coded(encoder, [audio], tmp_path / "two", num_jobs=2) == (0, 2, 0)


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_together_are_those_made_alone(encoder, audio, tmp_path, overwrite):
    """But for rounding; a file that cannot be used, and one that is done, change nothing."""
    (audio / "broken.wav").write_bytes(b"RIFF")
    assert coded(encoder, [audio], tmp_path / "alone") == (2, 0, 1)
    together = dataclasses.replace(encoder, batch_size=8)
    assert coded(together, [audio], tmp_path / "codes") == (2, 0, 1)
    done = (2, 0, 1) if overwrite else (0, 2, 1)
    assert coded(together, [audio], tmp_path / "codes", overwrite=overwrite) == done
    (audio / "broken.wav").unlink()
    for name in ("x.npz", "sub/x.npz"):
        alone, made = (Codes.load(tmp_path / f / name) for f in ("alone", "codes"))
        assert (made.codes == alone.codes).mean() > 0.98
        assert made.made_from == alone.made_from
    decoder = FileDecoder(encoder.model)
    assert coded(decoder, [tmp_path / "alone"], tmp_path / "one") == (2, 0, 0)
    several = dataclasses.replace(decoder, batch_size=8)
    assert coded(several, [tmp_path / "alone"], tmp_path / "two") == (2, 0, 0)
    for name in ("x.wav", "sub/x.wav"):
        one, two = (read_audio(tmp_path / f / name)[0] for f in ("one", "two"))
        np.testing.assert_allclose(one, two, atol=1e-4)


def test_what_is_done_is_skipped(encoder, audio, tmp_path, monkeypatch):
    out = tmp_path / "codes"
    assert coded(encoder, [audio], out) == (2, 0, 0)
    before = contents(out)
    with monkeypatch.context() as patch:
        patch.setattr(FileEncoder, "code", None)  # it would fail
        assert coded(encoder, [audio], out) == (0, 2, 0)
        all_codebooks = dataclasses.replace(encoder, n_codebooks=3)
        assert coded(all_codebooks, [audio], out) == (0, 2, 0)
    (out / "x.npz").unlink()
    assert coded(encoder, [audio], out) == (1, 1, 0)
    assert contents(out) == before
    assert coded(encoder, [audio], out, overwrite=True) == (2, 0, 0)
    assert contents(out) == before


def test_what_is_outdated_is_made_anew(encoder, sta_experiment, audio, tmp_path):
    """Another input, other options, another codec; and what tells nothing of its origin."""
    out = tmp_path / "codes"
    coded(encoder, [audio], out)
    os.utime(audio / "x.wav", ns=(1, 1))
    assert coded(encoder, [audio], out) == (1, 1, 0)
    fewer = dataclasses.replace(encoder, n_codebooks=1)
    assert coded(fewer, [audio], out) == (2, 0, 0)
    assert Codes.load(out / "x.npz").codes.shape[0] == 1
    found = Codes.load(out / "x.npz")
    dataclasses.replace(found, made_from="").save(out / "x.npz")
    assert coded(fewer, [audio], out) == (1, 1, 0)
    wav, other = tmp_path / "wav", FileDecoder(sta_experiment)
    assert coded(FileDecoder(encoder.model), [out], wav) == (2, 0, 0)
    assert coded(FileDecoder(encoder.model), [out], wav) == (0, 2, 0)
    assert coded(other, [out], wav) == (0, 0, 2)  # not its codes


def test_files_of_others_are_not_overwritten(encoder, audio, tmp_path):
    """Decoding into the folder of the recordings must not destroy them."""
    out = tmp_path / "codes"
    coded(encoder, [audio], out)
    before = contents(audio)
    decoder = FileDecoder(encoder.model)
    with Workers(1) as workers:
        summary = code_files(decoder, [out], audio, workers)
    assert (summary.written, summary.skipped) == (1, 0)
    assert list(summary.failures.values()) == [
        f"{audio}/x.wav: it exists and was not made by this command; move it away, or write over"
        " it with --overwrite."
    ]
    assert contents(audio)["x.wav"] == before["x.wav"]
    assert coded(decoder, [out], audio, overwrite=True) == (2, 0, 0)
    assert contents(audio)["x.wav"] != before["x.wav"]
    (out / "x.npz").write_text("mine")
    assert coded(encoder, [audio / "sub" / "x.flac", audio / "x.wav"], out) == (0, 1, 1)
    assert (out / "x.npz").read_text() == "mine"


@pytest.mark.parametrize("num_jobs", [1, 2])
def test_it_goes_on_after_a_bad_file(encoder, audio, tmp_path, caplog, num_jobs):
    (audio / "page.wav").write_text("<html>")
    (audio / "telephone.raw").write_bytes(bytes(100))
    files = [audio, audio / "missing.wav"]
    with Workers(num_jobs) as workers:
        summary = code_files(encoder, files, tmp_path / "out", workers)
    assert (summary.written, len(summary.failures)) == (2, 3)
    for sentence in (
        "page.wav: not readable as audio",
        "telephone.raw: not readable as audio (a .raw file does not tell",
        "missing.wav: no such audio file",
    ):
        assert sentence in caplog.text
    with pytest.raises(DataError, match=r"^3 of 5 files failed; the first: .*page\.wav: not"):
        summary.check()
    with (
        pytest.raises(DataError, match=r"^/.*page\.wav: not readable"),
        Workers(num_jobs) as workers,
    ):
        code_files(encoder, files, tmp_path / "strict", workers, strict=True)


def test_a_single_file_has_its_own_error(encoder, audio, tmp_path):
    with pytest.raises(DataError, match=r"^/.*no\.wav: no such audio file\.$"):
        coded(encoder, [audio / "no.wav"], tmp_path / "out")
    with pytest.raises(TokenError, match=r"no\.npz: not a readable file of codes"):
        coded(FileDecoder(encoder.model), [audio / "no.npz"], tmp_path / "out")
    Summary(written=3).check()


def test_wrong_options_end_at_once(encoder, audio, tmp_path):
    with pytest.raises(ConfigError, match="n_codebooks 4"):
        coded(dataclasses.replace(encoder, n_codebooks=4), [audio], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_only_a_full_disk_ends_it(encoder, audio, tmp_path, monkeypatch, code):
    def fail(*args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Codes, "save", fail)
    if code == errno.EACCES:
        assert coded(encoder, [audio], tmp_path / "out") == (0, 0, 2)
        return
    with pytest.raises(OSError, match="No space left on device") as caught:
        coded(encoder, [audio], tmp_path / "out")
    assert str(caught.value.filename).startswith(str(tmp_path / "out"))
    again = pickle.loads(pickle.dumps(caught.value))  # as from a process
    assert again.filename == caught.value.filename


def test_clipping_is_counted_and_said(encoder, audio, tmp_path, monkeypatch, caplog):
    codes = tmp_path / "codes"
    coded(encoder, [audio], codes)
    decode = type(encoder.codec).decode
    monkeypatch.setattr(type(encoder.codec), "decode", lambda *args: 40 * decode(*args))
    with caplog.at_level(logging.INFO), Workers(1) as workers:
        summary = code_files(FileDecoder(encoder.model), [codes], tmp_path / "wav", workers)
    assert summary.clipped == 2
    loud = 40 * decode(encoder.codec, Codes.load(codes / "x.npz"))
    assert f"x.npz: {int((loud.abs() > 1).sum())} samples are clipped" in caplog.text
    assert "in 2 files samples are beyond full scale" in caplog.text
    assert np.abs(read_audio(tmp_path / "wav" / "x.wav")[0]).max() == 1.0


def test_names_that_are_not_utf8(encoder, audio, tmp_path):
    name = os.fsdecode(b"caf\xe9")
    folder = audio / name
    (audio / "sub").rename(folder)
    (folder / "x.flac").rename(folder / f"{name}.flac")
    (folder / f"{name}.wav").write_text("<html>")
    with Workers(1) as workers:
        summary = code_files(encoder, [folder, audio / "x.wav"], tmp_path / name, workers)
    assert summary.written == 1  # the two of the same name exclude each other
    (folder / f"{name}.wav").unlink()
    assert coded(encoder, [folder, audio / "x.wav"], tmp_path / name) == (1, 1, 0)
    assert coded(FileDecoder(encoder.model), [tmp_path / name], tmp_path / "wav") == (2, 0, 0)
    assert (tmp_path / "wav" / name / f"{name}.wav").is_file()


def test_outputs_follow_the_umask(encoder, audio, tmp_path):
    before = os.umask(0o027)
    try:
        coded(encoder, [audio], tmp_path / "codes")
        coded(FileDecoder(encoder.model), [tmp_path / "codes"], tmp_path / "wav")
    finally:
        os.umask(before)
    for path in [*(tmp_path / "codes").rglob("*"), *(tmp_path / "wav").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o750 if path.is_dir() else 0o640)


def test_the_codec_is_loaded_once(encoder, audio, tmp_path, monkeypatch):
    from espnet_stacodec.inference import audio_coding
    from espnet_stacodec.pretrained.experiment import Experiment

    opened, loaded = mock.Mock(wraps=Experiment.open), mock.Mock(wraps=audio_coding.load_codec)
    monkeypatch.setattr(Experiment, "open", opened)
    monkeypatch.setattr(audio_coding, "load_codec", loaded)
    load_once.cache_clear()
    coded(encoder, [audio], tmp_path / "codes")
    coded(FileDecoder(encoder.model), [tmp_path / "codes"], tmp_path / "wav")
    assert opened.call_count == loaded.call_count == 1

"""ESPnet's own inference, its command, and its SpeechLM read what stage 8 packs."""

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import soundfile
import torch
from espnet2.bin.gan_codec_inference import AudioCoding as ESPnetAudioCoding

from espnet_stacodec import AudioCoding
from espnet_stacodec.errors import TokenError
from espnet_stacodec.pretrained.packing import pack
from espnet_stacodec.pretrained.releases import import_checkpoint

KINDS = ["assigned", "spd", "plain"]


@pytest.fixture(params=KINDS)
def archive(request, tmp_path: Path, monkeypatch) -> Path:
    """The archive of an experiment; ESPnet unpacks it in a home folder of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "codec.zip"
    pack(request.getfixturevalue(f"{request.param}_experiment"), path)
    return path


def test_espnets_inference_gives_the_same_codes_and_audio(archive, noise):
    ours = AudioCoding.from_pretrained(archive)
    theirs = ESPnetAudioCoding.from_pretrained(str(archive))
    assert theirs.fs == 16000
    wave = noise(6400)
    made = theirs(torch.from_numpy(wave))
    codes = ours.encode(wave, 16000)
    assert torch.equal(made["codes"][:, 0], codes)
    assert torch.allclose(made["resyn_audio"], ours.decode(codes), atol=1e-5)


@pytest.fixture
def speechlm_audio(monkeypatch):
    """ESPnet's module; its package imports kernels of the language model, which needs a GPU."""
    if importlib.util.find_spec("liger_kernel") is None:
        kernels = "liger_kernel.ops.fused_linear_cross_entropy"
        for name in ("liger_kernel", "liger_kernel.ops", kernels):
            monkeypatch.setitem(sys.modules, name, mock.MagicMock())
    return importlib.import_module("espnet2.speechlm.model.speechlm.multimodal_io.audio")


def test_the_speechlm_reads_it(archive, speechlm_audio, noise):
    """Its batches: (B, N, 1) samples, with lengths."""
    audio_io = speechlm_audio.DiscreteAudioIO(
        codec_choice="ESPnet", codec_hf_model_tag=str(archive)
    )
    ours = AudioCoding.from_pretrained(archive)
    waves = [noise(6400, seed) for seed in (0, 1)]
    batch = torch.from_numpy(np.stack(waves))[..., None]
    lengths = torch.tensor([6400, 6400])
    codes = audio_io.encode_batch(batch, lengths)
    starts = torch.tensor([start + 1 for start, _ in audio_io._stream_intervals])
    assert codes.shape == (2, 20, 3)
    for wave, row in zip(waves, codes, strict=True):
        assert torch.equal((row - starts).T, ours.encode(wave, 16000))
    audio, audio_lengths, rate = audio_io.decode_batch(codes, lengths // 320)
    assert (audio.shape, audio_lengths.tolist(), rate) == ((2, 1, 6400), [6400, 6400], 16000)


@pytest.mark.parametrize("archive", ["assigned"], indirect=True)
def test_tokens_of_a_padded_batch_with_lengths(archive, noise):
    """An item gives the codes that it gives alone; padded frames have none."""
    codec = ESPnetAudioCoding.from_pretrained(str(archive)).codec
    ours = AudioCoding.from_pretrained(archive)
    waves = [noise(6400), noise(3000, 1)]
    batch = torch.zeros(2, 1, 6400)
    for row, wave in zip(batch, waves, strict=True):
        row[0, : len(wave)] = torch.from_numpy(wave)
    codes = codec.encode(batch, num_samples=torch.tensor([6400, 3000]))
    assert torch.equal(codes[:, 0], ours.encode(waves[0], 16000))
    assert torch.equal(codes[:, 1, :10], ours.encode(waves[1], 16000))
    assert (codes[:, 1, 10:] == -1).all()


@pytest.mark.parametrize("archive", ["assigned"], indirect=True)
def test_espnets_command_writes_codes_and_audio(archive, tmp_path, noise):
    soundfile.write(tmp_path / "a.wav", noise(6400), 16000, "FLOAT")
    (tmp_path / "wav.scp").write_text(f"a {tmp_path / 'a.wav'}\n")
    ran = subprocess.run(
        [
            sys.executable, "-m", "espnet_stacodec.bin.espnet", "gan_codec_inference",
            "--model_tag", str(archive), "--output_dir", str(tmp_path / "out"),
            "--data_path_and_name_and_type", f"{tmp_path / 'wav.scp'},audio,sound",
            "--num_workers", "0",
        ],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    ours = AudioCoding.from_pretrained(archive)
    (codes,) = (tmp_path / "out" / "codec").rglob("*.npy")
    expected = ours.encode(noise(6400), 16000)
    assert np.array_equal(np.load(codes)[:, 0], expected.numpy())
    audio, rate = soundfile.read(tmp_path / "out" / "wav" / "a.wav")
    assert rate == 16000
    assert np.abs(audio - ours.decode(expected).clip(-1, 1).numpy()).max() < 1e-3


def test_an_imported_release(shared, tmp_path, monkeypatch, noise):
    """Its configuration has the codec only, its model no discriminator."""
    monkeypatch.setenv("HOME", str(tmp_path))
    import_checkpoint(shared / "parity" / "small_spd_bins1024.th", tmp_path / "exp")
    pack(tmp_path / "exp", tmp_path / "x.zip")
    made = ESPnetAudioCoding.from_pretrained(str(tmp_path / "x.zip"))(torch.from_numpy(noise(6500)))
    ours = AudioCoding.from_pretrained(tmp_path / "exp")
    assert torch.equal(made["codes"][:, 0], ours.encode(noise(6500), 16000))


def test_an_experiment_that_was_not_packed_says_what_to_do(assigned_experiment, noise):
    """Its configuration does not say where the tokenizer lies."""
    theirs = ESPnetAudioCoding(
        assigned_experiment / "config.yaml", assigned_experiment / "valid.mel_loss.best.pth"
    )
    with pytest.raises(TokenError, match="ESPnet's with the archive of stage 8"):
        theirs(torch.from_numpy(noise(3200)))

"""Encoding and decoding with a trained codec."""

import logging
import shutil

import numpy as np
import pytest
import torch
import yaml

from espnet_stacodec import AudioCoding as Exported
from espnet_stacodec.errors import ConfigError, ModelError
from espnet_stacodec.inference.audio_coding import AudioCoding
from espnet_stacodec.pretrained.packing import pack


@pytest.mark.parametrize("length", [1, 319, 320, 321, 640, 16000 * 12 + 5])
def test_lengths(plain, length, noise):
    wave = noise(length)
    codes = plain.encode(wave, 16000)
    assert codes.shape == (3, -(-length // 320)) and codes.dtype == torch.int64
    assert codes.min() >= 0 and codes.max() < 16
    decoded = plain.decode(codes, length)
    assert decoded.shape == (length,) and decoded.dtype == torch.float32
    assert torch.isfinite(decoded).all()
    whole = plain.decode(codes.numpy())
    assert whole.shape == (codes.shape[1] * 320,)
    assert torch.equal(whole[:length], decoded)


@pytest.mark.parametrize("batch_size", [None, 1, 2, 8])
def test_a_list_gives_what_its_items_give(plain, sta, batch_size, noise):
    lengths = [900, 3200, 1, 1700, 3300, 320]
    waves: list = [noise(n, n) for n in lengths]
    waves[1] = torch.from_numpy(waves[1])  # both kinds
    found = plain.encode(waves, 16000, batch_size=batch_size)
    assert all(
        torch.equal(codes, plain.encode(w, 16000)) for codes, w in zip(found, waves, strict=True)
    )
    tokens = [np.arange(-(-n // 320)) % 8 for n in lengths]
    found = sta.encode(waves, 16000, tokens, batch_size=batch_size)
    for codes, wave, given in zip(found, waves, tokens, strict=True):
        assert torch.equal(codes, sta.encode(wave, 16000, given))
        assert codes[0].tolist() == given.tolist()
    assert plain.encode([], 16000) == []


def test_fewer_codebooks_can_be_decoded(plain, noise):
    codes = plain.encode(noise(3200), 16000)
    coarse, fine = plain.decode(codes[:1]), plain.decode(codes)
    assert coarse.shape == fine.shape and not torch.equal(coarse, fine)


def test_other_rates_are_resampled_and_said(plain, caplog, noise):
    time = np.arange(8000) / 8000
    low = np.sin(2 * np.pi * 300 * time).astype(np.float32)
    with caplog.at_level(logging.INFO):
        codes = plain.encode(low, 8000)
    assert codes.shape == (3, 50)
    assert "resampled from 8000 Hz to 16000 Hz" in caplog.text
    caplog.clear()
    plain.encode(noise(16000), 16000)
    assert "resampled" not in caplog.text


def test_half_precision_audio_is_encoded_as_what_it_says(plain, noise):
    wave = torch.from_numpy(noise(3200)).bfloat16()
    assert torch.equal(plain.encode(wave, 16000), plain.encode(wave.float(), 16000))


def test_autocast_changes_neither_codes_nor_audio(plain, noise):
    wave = noise(16000)
    codes = plain.encode(wave, 16000)
    audio = plain.decode(codes)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(plain.encode(wave, 16000), codes)
        assert torch.equal(plain.decode(codes), audio)


def test_one_frame_of_tokens_more_or_less_is_brought_to_length(sta, noise):
    assert sta.encode(noise(960), 16000, [3, 4])[0].tolist() == [3, 4, 4]
    assert sta.encode(noise(960), 16000, torch.tensor([3, 4, 5, 6]))[0].tolist() == [3, 4, 5]


def test_without_tokens_the_experiments_own_tokenizer_is_asked(sta, plain, noise):
    assert sta.needs_tokens and not plain.needs_tokens
    # The toy's tokens were precomputed: that is said, instead of encoding without them.
    with pytest.raises(ModelError, match=r"tokenizer\.yaml: these tokens were precomputed"):
        sta.encode(noise(960), 16000)


def test_neither_encoding_nor_decoding_changes_anything(sta_experiment, noise):
    codec = AudioCoding.from_pretrained(sta_experiment)
    before = {name: value.clone() for name, value in codec.generator.state_dict().items()}
    codec.decode(codec.encode(noise(5000), 16000, np.zeros(16, int)))
    state = codec.generator.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in state.items())


def test_the_fingerprint_covers_weights_and_settings(spd_experiment, tmp_path):
    """What decides codes and audio; not what only a training reads, nor what folding makes."""
    folder = tmp_path / "exp"
    shutil.copytree(spd_experiment, folder, symlinks=True)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    params = config["codec_conf"]["generator_params"]

    def fingerprint() -> str:
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        return AudioCoding.from_pretrained(folder).fingerprint

    first = fingerprint()
    params["quantizer_dropout"] = 0.5
    params["predistillation"]["loss_weight"] = 1.0
    params["codebook"] = {"decay": 0.5}
    assert fingerprint() == first
    found = {first}
    config["codec_conf"]["sampling_rate"] = 24000
    found.add(fingerprint())
    config["codec_conf"]["sampling_rate"] = 16000
    params["input_padding"] = "convolutions"
    found.add(fingerprint())
    params["input_padding"] = "waveform"
    params["bottleneck"]["heads"] = 4
    found.add(fingerprint())
    params["bottleneck"] |= {"heads": 2, "overlap": 4}
    found.add(fingerprint())
    state = torch.load(spd_experiment / "1epoch.pth", weights_only=True)
    state["codec.generator.quantizer.layers.1.embed"][0, 0] += 1e-3
    torch.save(state, folder / "model.pth")
    found.add(fingerprint())
    assert len(found) == 6


def test_fewer_codebooks_are_the_first_ones(sta, noise):
    wave, tokens = noise(5000), np.zeros(16, int)
    codes = sta.encode(wave, 16000, tokens)
    assert torch.equal(sta.encode(wave, 16000, tokens, n_codebooks=2), codes[:2])
    with pytest.raises(ConfigError, match=r"n_codebooks 4 is invalid; it must be in 1\.\.3"):
        sta.encode(wave, 16000, tokens, n_codebooks=4)


def test_what_a_codec_says_of_itself(sta, plain, sta_experiment):
    assert (sta.sample_rate, sta.n_codebooks, sta.frame_rule.hop_samples) == (16000, 3, 320)
    # 50 frames of log2 8 + 4 + 4 bits; 50 of 3 x 4.
    assert sta.bits_per_second() == 550 and plain.bits_per_second() == 600
    assert plain.bits_per_second(1) == 200
    other = AudioCoding.from_pretrained(sta_experiment, model_file="1epoch.pth")
    best = AudioCoding.from_pretrained(sta_experiment, model_file="valid.mel_loss.best.pth")
    assert sta.fingerprint == best.fingerprint
    names = {sta.fingerprint, plain.fingerprint, other.fingerprint} | {
        AudioCoding.from_pretrained(sta_experiment, model_file="2epoch.pth").fingerprint
    }
    assert len(names) == 3  # the best one is one of the epochs
    assert Exported is AudioCoding


def test_a_packed_experiment_is_the_same_codec_elsewhere(
    sta, sta_experiment, tmp_path, monkeypatch, noise
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pack(sta_experiment, tmp_path / "sta.zip")
    codec = AudioCoding.from_pretrained(tmp_path / "sta.zip")
    assert codec.fingerprint == sta.fingerprint
    wave = noise(3200)
    tokens = np.arange(10) % 8
    assert torch.equal(codec.encode(wave, 16000, tokens), sta.encode(wave, 16000, tokens))
    described = codec.tokenizer.describe()
    assert described is not None and described == sta.tokenizer.describe()


def test_bfloat16_gives_nearly_the_same_and_says_so(plain_experiment, noise):
    wave = noise(16000)
    exact = AudioCoding.from_pretrained(plain_experiment)
    low = AudioCoding.from_pretrained(plain_experiment, precision="bfloat16")
    assert (exact.precision, low.precision) == ("float32", "bfloat16")
    codes = exact.encode(wave, 16000)
    assert 0.5 < (low.encode(wave, 16000) == codes).float().mean() <= 1
    expected, audio = exact.decode(codes, 16000), low.decode(codes, 16000)
    assert audio.dtype == torch.float32
    assert not torch.equal(audio, expected)
    assert (audio - expected).abs().max() < 0.1 * expected.abs().max()


def test_an_unknown_precision_is_refused(plain_experiment):
    with pytest.raises(ConfigError, match="precision 'int8' is unknown; known are float32"):
        AudioCoding.from_pretrained(plain_experiment, precision="int8")

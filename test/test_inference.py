"""Encoding and decoding with a trained codec."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from espnet_stacodec import AudioCoding as Exported
from espnet_stacodec.errors import ConfigError, DataError, LengthError, ModelError, TokenError
from espnet_stacodec.files import fingerprint
from espnet_stacodec.inference import AudioCoding
from espnet_stacodec.packing import pack


@pytest.fixture(scope="module")
def plain(plain_experiment: Path) -> AudioCoding:
    return AudioCoding.from_pretrained(plain_experiment)


@pytest.fixture(scope="module")
def sta(sta_experiment: Path) -> AudioCoding:
    return AudioCoding.from_pretrained(sta_experiment)


def noise(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, length).astype(np.float32)


@pytest.mark.parametrize("length", [1, 319, 320, 321, 640, 16000 * 12 + 5])
def test_lengths(plain, length):
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
def test_a_list_gives_what_its_items_give(plain, sta, batch_size):
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


def test_fewer_codebooks_can_be_decoded(plain):
    codes = plain.encode(noise(3200), 16000)
    coarse, fine = plain.decode(codes[:1]), plain.decode(codes)
    assert coarse.shape == fine.shape and not torch.equal(coarse, fine)


def test_other_rates_are_resampled_and_said(plain, caplog):
    time = np.arange(8000) / 8000
    low = np.sin(2 * np.pi * 300 * time).astype(np.float32)
    with caplog.at_level(logging.INFO):
        codes = plain.encode(low, 8000)
    assert codes.shape == (3, 50)
    assert "resampled from 8000 Hz to 16000 Hz" in caplog.text
    caplog.clear()
    plain.encode(noise(16000), 16000)
    assert "resampled" not in caplog.text


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (np.zeros(0, np.float32), "no samples"),
        (np.array([0.0, np.nan]), "1 samples are NaN or infinite"),
        (torch.tensor([0.0, -torch.inf]), "NaN or infinite"),
        (np.zeros((2, 100), np.float32), r"one channel \(N,\), got shape \(2, 100\)"),
        (np.zeros(100, np.int16), "got int16"),
        (torch.zeros(100, dtype=torch.long), "got int64"),
    ],
)
def test_audio_that_cannot_be_encoded(plain, wave, message):
    with pytest.raises(DataError, match=f"wave 0: .*{message}"):
        plain.encode(wave, 16000)
    with pytest.raises(DataError, match=f"wave 1: .*{message}"):
        plain.encode([noise(100), wave], 16000)


def test_a_rate_that_cannot_be(plain):
    with pytest.raises(DataError, match="wave 0: a sampling rate of 0 Hz cannot be"):
        plain.encode(noise(100), 0)


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_size_that_cannot_be(plain, size):
    with pytest.raises(ConfigError, match=f"batch_size {size} is below 1"):
        plain.encode(noise(100), 16000, batch_size=size)


def test_half_precision_audio_is_encoded_as_what_it_says(plain):
    wave = torch.from_numpy(noise(3200)).bfloat16()
    assert torch.equal(plain.encode(wave, 16000), plain.encode(wave.float(), 16000))


def test_autocast_changes_neither_codes_nor_audio(plain):
    wave = noise(16000)
    codes = plain.encode(wave, 16000)
    audio = plain.decode(codes)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(plain.encode(wave, 16000), codes)
        assert torch.equal(plain.decode(codes), audio)


def test_entries_that_no_token_has_are_not_decoded(sta):
    """Its first codebook has 8 tokens, whatever else it has room for."""
    codes = sta.encode(noise(960), 16000, [0, 1, 7])
    codes[0, 1] = 8
    with pytest.raises(TokenError, match=r"Code 8 of codebook 1, frame 1, is outside 0\.\.7"):
        sta.decode(codes)


def test_audio_of_which_resampling_leaves_nothing(plain):
    with pytest.raises(DataError, match="wave 0: there are no samples"):
        plain.encode(noise(1), 192000)


@pytest.mark.parametrize(
    ("tokens", "error", "message"),
    [
        ([0, 1, 8], TokenError, "8 is outside 0 to 7"),
        ([0, -1, 1], TokenError, "-1 is outside 0 to 7"),
        ([0.5, 1.0, 1.5], TokenError, "float"),
        ([[0, 1, 2]], TokenError, r"shape \(1, 3\)"),
        ([], TokenError, r"shape \(0,\)"),
        (["a", "b", "c"], TokenError, "wave 0: not a list of token ids"),
        ([[0], [1, 2]], TokenError, "wave 0: not a list of token ids"),
        ([0], LengthError, "1 semantic tokens for 3 codec frames"),
        ([0, 1, 2, 3, 4], LengthError, "5 semantic tokens for 3 codec frames"),
    ],
)
def test_tokens_that_do_not_fit(sta, tokens, error, message):
    with pytest.raises(error, match=message):
        sta.encode(noise(960), 16000, tokens)


def test_one_frame_of_tokens_more_or_less_is_brought_to_length(sta):
    assert sta.encode(noise(960), 16000, [3, 4])[0].tolist() == [3, 4, 4]
    assert sta.encode(noise(960), 16000, torch.tensor([3, 4, 5, 6]))[0].tolist() == [3, 4, 5]


def test_token_lists_of_another_number(sta):
    with pytest.raises(TokenError, match="1 token sequences are given for 2 waves"):
        sta.encode([noise(320), noise(320)], 16000, [[0]])


def test_without_tokens_the_experiments_own_tokenizer_is_asked(sta, plain):
    assert sta.needs_tokens and not plain.needs_tokens
    # The toy's tokens came ready-made: that is said, instead of encoding without them.
    with pytest.raises(ModelError, match=r"tokenizer\.yaml: these tokens came ready-made"):
        sta.encode(noise(960), 16000)


def test_an_experiment_without_its_tokenizer(sta_experiment, tmp_path):
    folder = tmp_path / "exp"
    shutil.copytree(sta_experiment, folder, symlinks=True)
    shutil.rmtree(folder / "semantic")
    codec = AudioCoding.from_pretrained(folder)
    assert codec.encode(noise(320), 16000, [1]).shape == (3, 1)
    with pytest.raises(ModelError, match=r"exp/semantic: the experiment has no semantic tokenizer"):
        codec.encode(noise(320), 16000)
    (folder / "semantic").mkdir()
    (folder / "semantic" / "tokenizer.yaml").write_text("name: other\nnum_clusters: 8\n")
    with pytest.raises(ModelError, match="with which the codec was trained; put that one there"):
        codec.encode(noise(320), 16000)


def test_tokens_of_another_tokenizer_are_told_apart(sta, plain, toy_task, tmp_path):
    scp = toy_task.tokenizer / "train" / "semantic.scp"
    sta.check_tokenizer(scp)
    (tmp_path / "tokenizer.yaml").write_text("name: other\nnum_clusters: 8\n")
    with pytest.raises(TokenError, match=r"set/semantic\.scp: these tokens were made by"):
        sta.check_tokenizer(tmp_path / "set" / "semantic.scp")


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (torch.zeros(3, 4), r"integers \(n, T\) of 1 to 3 codebooks, not float32"),
        (torch.zeros(4, 4, dtype=torch.long), r"not int64 \(4, 4\)"),
        (torch.zeros(0, 4, dtype=torch.long), r"not int64 \(0, 4\)"),
        (torch.zeros(4, dtype=torch.long), r"not int64 \(4,\)"),
        (torch.zeros(3, 0, dtype=torch.long), "no frames"),
        (
            torch.tensor([[0, 0], [0, 16], [0, 0]]),
            "Code 16 of codebook 2, frame 1, is outside 0..15",
        ),
        (torch.tensor([[-1, 0]]), "Code -1 of codebook 1, frame 0"),
    ],
)
def test_codes_that_do_not_fit(plain, codes, message):
    with pytest.raises(TokenError, match=message):
        plain.decode(codes)


@pytest.mark.parametrize("num_samples", [0, 640, 961, 10**6, -1])
def test_lengths_that_do_not_fit_the_codes(plain, num_samples):
    codes = torch.zeros(3, 3, dtype=torch.long)
    with pytest.raises(TokenError, match=f"num_samples {num_samples} .* make 641 to 960 samples"):
        plain.decode(codes, num_samples)


def test_arguments_of_the_wrong_type_are_refused(plain):
    from typeguard import TypeCheckError

    with pytest.raises(TypeCheckError):
        plain.decode([[0]])
    with pytest.raises(TypeCheckError):
        plain.encode(noise(320), "16000")


def test_neither_encoding_nor_decoding_changes_anything(sta_experiment):
    codec = AudioCoding.from_pretrained(sta_experiment)
    before = {name: value.clone() for name, value in codec.generator.state_dict().items()}
    codec.decode(codec.encode(noise(5000), 16000, np.zeros(16, int)))
    state = codec.generator.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in state.items())


def test_the_fingerprint_is_that_of_the_trained_weights(sta_experiment):
    """Not of what inference makes of them."""
    file = sta_experiment / "valid.mel_loss.best.pth"
    state = torch.load(file, weights_only=True)
    prefix = "codec.generator."
    weights = [(n.removeprefix(prefix), v.numpy()) for n, v in state.items() if prefix in n]
    assert AudioCoding.from_pretrained(sta_experiment).fingerprint == fingerprint(weights)


def test_fewer_codebooks_are_the_first_ones(sta):
    wave, tokens = noise(5000), np.zeros(16, int)
    codes = sta.encode(wave, 16000, tokens)
    assert torch.equal(sta.encode(wave, 16000, tokens, n_codebooks=2), codes[:2])
    with pytest.raises(ConfigError, match=r"n_codebooks 4 is outside 1\.\.3"):
        sta.encode(wave, 16000, tokens, n_codebooks=4)


def test_tokens_for_a_codec_that_takes_none(plain):
    with pytest.raises(TokenError, match="leave semantic out"):
        plain.encode(noise(5000), 16000, np.zeros(16, int))


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
    sta, sta_experiment, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pack(sta_experiment, tmp_path / "sta.zip")
    codec = AudioCoding.from_pretrained(tmp_path / "sta.zip")
    assert codec.fingerprint == sta.fingerprint
    wave = noise(3200)
    tokens = np.arange(10) % 8
    assert torch.equal(codec.encode(wave, 16000, tokens), sta.encode(wave, 16000, tokens))
    assert codec.tokenizer_folder is not None
    assert (codec.tokenizer_folder / "tokenizer.yaml").exists()


@pytest.mark.parametrize("damage", ["text", "cut", "empty", "pickle", "other"])
def test_checkpoints_that_cannot_be_loaded(plain_experiment, tmp_path, damage):
    folder = tmp_path / "exp"
    folder.mkdir()
    shutil.copy(plain_experiment / "config.yaml", folder)
    whole = (plain_experiment / "1epoch.pth").read_bytes()
    path = folder / "model.pth"
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "pickle":
        torch.save({"codec.generator.x": Path("evil")}, path)
    elif damage == "other":
        torch.save({"codec.generator.x": torch.zeros(1)}, path)
    else:
        path.write_bytes(b"<html>" if damage == "text" else b"")
    with pytest.raises(ModelError, match=r"model\.pth: cannot be loaded as this codec") as caught:
        AudioCoding.from_pretrained(folder)
    assert "\n" not in str(caught.value)


def test_configurations_that_do_not_fit_the_code(plain_experiment, tmp_path):
    folder = tmp_path / "exp"
    shutil.copytree(plain_experiment, folder, symlinks=True)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["codec_conf"]["generator_params"]["n_filter"] = 1
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ConfigError, match=r"generator_params: unknown key n_filter; known are"):
        AudioCoding.from_pretrained(folder)
    del config["codec_conf"]["generator_params"]["n_filter"]
    config["codec_conf"]["generator_params"]["dimension"] = 9
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ModelError, match=r"cannot be loaded as this codec \(.*size mismatch"):
        AudioCoding.from_pretrained(folder)


@pytest.mark.parametrize("device", ["nonsense", "cuda:99"])
def test_devices_that_are_not_there(plain_experiment, device):
    with pytest.raises(ConfigError, match=f"device '{device}' cannot be used here") as caught:
        AudioCoding.from_pretrained(plain_experiment, device)
    assert "\n" not in str(caught.value)

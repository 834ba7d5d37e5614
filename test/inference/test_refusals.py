"""What `AudioCoding` refuses, in one sentence that says what and where."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from espnet_stacodec.errors import ConfigError, DataError, LengthError, ModelError, TokenError
from espnet_stacodec.inference.audio_coding import AudioCoding


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (np.zeros(0, np.float32), "no samples"),
        (np.array([0.0, np.nan]), "1 samples are NaN or infinite"),
        (torch.tensor([0.0, -torch.inf]), "NaN or infinite"),
        (np.zeros((2, 100), np.float32), r"one channel \(N,\), got shape \(2, 100\)"),
        (np.zeros(100, complex), "got complex128"),
        (np.zeros(100, np.uint16), "got uint16"),
        (np.full(100, 8.5), "its peak is 8.5, far beyond the full scale of 1"),
        (torch.zeros(100, dtype=torch.long), "got int64"),
    ],
)
def test_audio_that_cannot_be_encoded(plain, wave, message, noise):
    with pytest.raises(DataError, match=f"wave 0: .*{message}"):
        plain.encode(wave, 16000)
    with pytest.raises(DataError, match=f"wave 1: .*{message}"):
        plain.encode([noise(100), wave], 16000)


def test_a_rate_that_cannot_be(plain, noise):
    with pytest.raises(DataError, match="wave 0: the sampling rate of 0 Hz is invalid"):
        plain.encode(noise(100), 0)


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_size_that_cannot_be(plain, size, noise):
    with pytest.raises(ConfigError, match=f"batch_size {size} is invalid; it must be 1 or more"):
        plain.encode(noise(100), 16000, batch_size=size)


def test_entries_that_no_token_has_are_not_decoded(sta, noise):
    """Its first codebook has 8 tokens, whatever else it has room for."""
    codes = sta.encode(noise(960), 16000, [0, 1, 7])
    codes[0, 1] = 8
    with pytest.raises(TokenError, match=r"Code 8 of codebook 1, frame 1, is outside 0\.\.7"):
        sta.decode(codes)


def test_audio_of_which_resampling_leaves_nothing(plain, noise):
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
def test_tokens_that_do_not_fit(sta, tokens, error, message, noise):
    with pytest.raises(error, match=message):
        sta.encode(noise(960), 16000, tokens)


def test_token_lists_of_another_number(sta, noise):
    with pytest.raises(TokenError, match="1 token sequences are given for 2 waves"):
        sta.encode([noise(320), noise(320)], 16000, [[0]])


def test_an_experiment_without_its_tokenizer(sta_experiment, tmp_path, noise):
    folder = tmp_path / "exp"
    shutil.copytree(sta_experiment, folder, symlinks=True)
    shutil.rmtree(folder / "semantic")
    codec = AudioCoding.from_pretrained(folder)
    assert codec.encode(noise(320), 16000, [1]).shape == (3, 1)
    with pytest.raises(ModelError, match=r"exp/semantic: the experiment has no semantic tokenizer"):
        codec.encode(noise(320), 16000)
    (folder / "semantic").mkdir()
    (folder / "semantic" / "tokenizer.yaml").write_text("name: other\nnum_clusters: 8\n")
    with pytest.raises(TokenError, match=r"exp/semantic: semantic tokenizer \w+ instead of"):
        codec.encode(noise(320), 16000)


def test_tokens_of_another_tokenizer_are_told_apart(sta, plain, toy_task, tmp_path):
    scp = toy_task.tokenizer / "train" / "semantic.scp"
    sta.tokenizer.check_tokens_of(scp)
    (tmp_path / "tokenizer.yaml").write_text("name: other\nnum_clusters: 8\n")
    with pytest.raises(TokenError, match=r"set/semantic\.scp: semantic tokenizer \w+ instead of"):
        sta.tokenizer.check_tokens_of(tmp_path / "set" / "semantic.scp")


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


def test_arguments_of_the_wrong_type_are_refused(plain, noise):
    from typeguard import TypeCheckError

    with pytest.raises(TypeCheckError):
        plain.decode(np.zeros((1, 1), int), "1")
    with pytest.raises(TypeCheckError):
        plain.encode(noise(320), "16000")


def test_tokens_for_a_codec_that_takes_none(plain, noise):
    with pytest.raises(TokenError, match="leave semantic out"):
        plain.encode(noise(5000), 16000, np.zeros(16, int))


class Command:
    """What runs a command where it is unpickled."""

    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize("damage", ["text", "cut", "empty", "pickle", "command", "script", "other"])
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
    elif damage == "command":
        torch.save(Command(), path)
    elif damage == "script":
        torch.jit.save(torch.jit.script(torch.nn.Identity()), path)
    elif damage == "other":
        torch.save({"codec.generator.x": torch.zeros(1)}, path)
    else:
        path.write_bytes(b"<html>" if damage == "text" else b"")
    with pytest.raises(ModelError, match=r"model\.pth: cannot be loaded as this codec") as caught:
        AudioCoding.from_pretrained(folder)
    assert "\n" not in str(caught.value)
    assert "trusted" not in str(caught.value)  # torch's advice, to load it unsafely
    assert "()" not in str(caught.value)


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


@pytest.mark.parametrize("device", ["nonsense", "cuda:99"])
def test_a_codec_stays_where_it_was_when_it_cannot_move(plain_experiment, device, noise):
    codec = AudioCoding.from_pretrained(plain_experiment)
    codes = codec.encode(noise(640), 16000)
    with pytest.raises(ConfigError, match="cannot be used here"):
        codec.to(device)
    assert codec.device == torch.device("cpu")
    assert codec.latents(codes).shape[1] == 2

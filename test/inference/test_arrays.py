"""What callers may pass as audio, codes and numbers."""

import logging

import numpy as np
import pytest
import torch

from espnet_stacodec.errors import ConfigError, DataError, TokenError
from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.inference.arrays import to_waveform


def as_wave(wave, rate=16000):
    return to_waveform(wave, rate, 16000, "utt")


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x[::-1][::-1],
        lambda x: np.ascontiguousarray(x[::-1])[::-1],
        lambda x: np.stack([x, x], 1)[:, 0],
        lambda x: x.astype(">f4"),
        lambda x: x.astype(">f8"),
        lambda x: x.astype(np.longdouble),
        lambda x: x[None],
        lambda x: torch.from_numpy(x),
        lambda x: torch.from_numpy(x).double()[None],
        lambda x: torch.from_numpy(x).requires_grad_(),
    ],
)
def test_every_form_of_the_same_audio_is_the_same(change, noise):
    wave = noise(1000)
    found = as_wave(change(wave))
    assert found.dtype == torch.float32 and not found.requires_grad
    assert torch.equal(found, torch.from_numpy(wave))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("u1", 0, 255), ("i1", -128, 127), ("i2", -(2**15), 2**15 - 1), ("i4", -(2**31), 2**31 - 1)],
)
def test_pcm_is_scaled_by_its_type(dtype, low, high, order):
    middle = (low + high + 1) // 2
    found = as_wave(np.array([low, middle, high], order + dtype))
    assert found[:2].tolist() == [-1.0, 0.0]
    assert found[2] == pytest.approx(1.0, abs=1 / 127)


def test_a_read_only_array_is_taken_and_left_as_it_is(noise):
    wave = noise(1000)
    wave.setflags(write=False)
    assert torch.equal(as_wave(wave), torch.from_numpy(noise(1000)))


@pytest.mark.parametrize("rate", [np.int64(16000), np.uint16(16000), torch.tensor(16000)])
def test_numbers_of_every_kind(plain, noise, rate):
    wave = noise(3200)
    codes = plain.encode(wave, rate, batch_size=np.int32(2), n_codebooks=np.int8(2))
    assert torch.equal(codes, plain.encode(wave, 16000)[:2])
    assert plain.decode(codes, np.int64(3100)).shape == (3100,)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: np.ascontiguousarray(x[:, ::-1])[:, ::-1],
        lambda x: np.stack([x, x], 2)[..., 0],
        lambda x: x.astype(">i4"),
        lambda x: x.astype(np.uint16),
        lambda x: torch.from_numpy(x),
    ],
)
def test_every_form_of_the_same_codes_is_the_same(change, plain, sta, noise):
    codes = plain.encode(noise(960), 16000).numpy()
    assert torch.equal(plain.decode(change(codes)), plain.decode(codes))
    assert torch.equal(plain.latents(change(codes)), plain.latents(codes))
    tokens = np.array([[3, 1, 2]])
    found = sta.encode(noise(960), 16000, change(tokens)[0])
    assert torch.equal(found, sta.encode(noise(960), 16000, tokens[0]))


@pytest.mark.parametrize(("name", "value"), [("batch_size", True), ("n_codebooks", True)])
def test_truth_values_are_no_numbers(plain, noise, name, value):
    with pytest.raises(ConfigError, match=f"{name} True is invalid"):
        plain.encode(noise(320), 16000, **{name: value})


@pytest.mark.parametrize("rate", [True, 0, 999])
def test_rates_of_no_speech(plain, noise, rate):
    with pytest.raises(DataError, match=f"wave 0: the sampling rate of {rate} Hz is invalid"):
        plain.encode(noise(320), rate)


def test_clipping_is_counted(noise, caplog):
    wave = noise(1000)
    wave[:10] = 1.0
    as_wave(wave)
    assert not caplog.records
    wave[:300] = -1.5
    with caplog.at_level(logging.WARNING):
        as_wave(wave)
    assert caplog.messages == ["utt: 30.0% of the samples are clipped."]


def test_16_bit_values_in_floats_are_refused(noise):
    with pytest.raises(DataError, match=r"utt: its peak is \d+.*divide them by 32768"):
        as_wave(noise(1000) * 32768)


def test_codes_of_a_file(plain, noise, tmp_path):
    import soundfile

    stereo = np.stack([noise(44100), noise(44100, 1)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 44100, "FLOAT")
    codes = plain.encode_file(tmp_path / "a.wav", n_codebooks=2)
    assert codes.codes.shape == (2, 50) and codes.num_samples == codes.sample_rate == 16000
    audio = plain.decode(codes)
    assert audio.shape == (16000,)
    mono = plain.encode(stereo.mean(axis=1), 44100, n_codebooks=2)
    assert np.array_equal(mono, codes.codes)
    with pytest.raises(DataError, match=r"b\.wav: no such audio file"):
        plain.encode_file(tmp_path / "b.wav")
    soundfile.write(tmp_path / "c.wav", stereo * 1e4, 44100, "FLOAT")
    with pytest.raises(DataError, match=r"^\S*c\.wav: its peak is"):
        plain.encode_file(tmp_path / "c.wav")


def test_a_list_of_codes_decodes_as_its_items_do(plain, noise):
    lengths = [3200, 901, 320, 1]
    codes = [plain.encode(noise(n, n), 16000) for n in lengths]
    for batch_size in (None, 2, 4):
        audio = plain.decode(codes, lengths, batch_size)
        for found, item, length in zip(audio, codes, lengths, strict=True):
            torch.testing.assert_close(found, plain.decode(item, length), rtol=0, atol=1e-6)
    assert [len(a) for a in plain.decode(codes)] == [3200, 960, 320, 320]
    assert plain.decode([]) == []
    with pytest.raises(TokenError, match="num_samples must be a list of 4 numbers"):
        plain.decode(codes, [3200])


def test_lengths_are_counted_at_the_rate_of_the_codec(plain, noise):
    codes = plain.encode(noise(44100), 44100)
    with pytest.raises(TokenError, match="num_samples 44100 .* at the codec's 16000 Hz"):
        plain.decode(codes, 44100)


def test_codes_of_another_codec(plain, sta, noise):
    made = Codes(sta.encode(noise(320), 16000, [1]).numpy(), 320, 16000, sta.fingerprint)
    with pytest.raises(TokenError, match=f"made by codec {sta.fingerprint}, not by"):
        plain.decode(made)


def test_latents_are_the_sum_of_the_entries(sta, noise):
    codes = sta.encode(noise(960), 16000, [1, 2, 3])
    entries = [torch.from_numpy(vectors) for vectors in sta.codebook_vectors()]
    expected = entries[0][codes[0]] + entries[1][codes[1]] + entries[2][codes[2]]
    torch.testing.assert_close(sta.latents(codes), expected.T)
    torch.testing.assert_close(sta.latents(codes[:1]), entries[0][codes[0]].T)
    torch.testing.assert_close(sta.latents(codes[[2]], [2]), entries[2][codes[2]].T)
    decoded = sta.generator.decoder(sta.latents(codes)[None])[0, 0]
    torch.testing.assert_close(decoded.detach(), sta.decode(codes))


@pytest.mark.parametrize("books", [[3], [-1], [0, 1, 7]])
def test_latents_of_codebooks_that_there_are_not(sta, noise, books):
    codes = sta.encode(noise(960), 16000, [1, 2, 3])[: len(books)]
    with pytest.raises(ConfigError, match="must be of 0 to 2, those of the codec"):
        sta.latents(codes, books)


def test_latents_have_a_codebook_for_each_row(sta, noise):
    codes = sta.encode(noise(960), 16000, [1, 2, 3])
    with pytest.raises(TokenError, match="2 codebooks are named for codes of 1"):
        sta.latents(codes[:1], [0, 1])

"""Files of codes."""

import dataclasses

import numpy as np
import pytest

from espnet_stacodec.errors import TokenError
from espnet_stacodec.fileio.code_files import Codes

CODES = Codes(np.array([[1, 2, 3], [4, 5, 6]]), 900, 16000, "0123456789abcdef")


def test_codes_come_back_as_they_were_saved(tmp_path):
    CODES.save(tmp_path / "sub" / "a.npz")
    loaded = Codes.load(tmp_path / "sub" / "a.npz")
    assert np.array_equal(loaded.codes, CODES.codes) and loaded.codes.dtype == np.int64
    assert (loaded.num_samples, loaded.sample_rate) == (900, 16000)
    assert loaded.fingerprint == CODES.fingerprint
    assert [p.name for p in (tmp_path / "sub").iterdir()] == ["a.npz"]


def test_the_file_holds_what_is_promised_to_other_programs(tmp_path):
    CODES.save(tmp_path / "a.npz")
    names = {"codes", "num_samples", "sample_rate", "fingerprint"}
    with np.load(tmp_path / "a.npz") as arrays:
        assert set(arrays) == names
        assert arrays["codes"].tolist() == [[1, 2, 3], [4, 5, 6]]
        assert arrays["codes"].dtype == np.uint16
        assert (int(arrays["num_samples"]), int(arrays["sample_rate"])) == (900, 16000)
        assert str(arrays["fingerprint"]) == CODES.fingerprint
    dataclasses.replace(CODES, made_from="f" * 16).save(tmp_path / "b.npz")
    with np.load(tmp_path / "b.npz") as arrays:
        assert set(arrays) == names | {"made_from"}
    assert Codes.load(tmp_path / "b.npz").made_from == "f" * 16
    assert Codes.load(tmp_path / "a.npz").made_from == ""


def test_files_of_earlier_versions(tmp_path):
    arrays = dataclasses.asdict(CODES)
    del arrays["made_from"]
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    loaded = Codes.load(tmp_path / "a.npz")
    assert np.array_equal(loaded.codes, CODES.codes) and loaded.codes.dtype == np.int64
    assert (loaded.num_samples, loaded.fingerprint) == (900, CODES.fingerprint)
    assert loaded.made_from == ""


def test_the_size_of_ten_seconds(tmp_path):
    """8 codebooks of 1024 entries, all equally frequent: 5.0 kB if packed, 9.1 kB as int64."""
    codes = np.random.default_rng(0).integers(1024, size=(8, 500))
    dataclasses.replace(CODES, codes=codes).save(tmp_path / "a.npz")
    assert (tmp_path / "a.npz").stat().st_size < 7000


@pytest.mark.parametrize(
    "largest, dtype", [(0, "uint16"), (65535, "uint16"), (65536, "uint32"), (2**32, "int64")]
)
def test_codes_of_large_codebooks(tmp_path, largest, dtype):
    codes = np.array([[0, largest]])
    dataclasses.replace(CODES, codes=codes).save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["codes"].dtype == dtype
    assert np.array_equal(Codes.load(tmp_path / "a.npz").codes, codes)


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "cut", "other", "array", "pickle"])
def test_files_that_are_not_codes(tmp_path, kind):
    path = tmp_path / "a.npz"
    CODES.save(path)
    whole = path.read_bytes()
    if kind == "missing":
        path.unlink()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("<html>")
    elif kind == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "other":
        np.savez(path, features=np.zeros(3))
    elif kind == "array":
        with path.open("wb") as file:
            np.save(file, CODES.codes)
    else:
        np.savez(path, codes=np.array([{}], dtype=object))
    with pytest.raises(TokenError, match=r"a\.npz: not a readable file of codes") as caught:
        Codes.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("codes", [np.zeros((2, 3)), np.zeros(3, int), np.zeros((1, 2, 3), int)])
def test_arrays_that_are_not_codes(tmp_path, codes):
    Codes(codes, 900, 16000, "").save(tmp_path / "a.npz")
    with pytest.raises(TokenError, match=r"a\.npz: codes must be integers \(n_codebooks, T\)"):
        Codes.load(tmp_path / "a.npz")


@pytest.mark.parametrize("change", [{"num_samples": 0}, {"sample_rate": 0}])
def test_codes_of_no_audio(tmp_path, change):
    dataclasses.replace(CODES, **change).save(tmp_path / "a.npz")
    with pytest.raises(TokenError, match=r"a\.npz: .* samples at .* Hz are no audio"):
        Codes.load(tmp_path / "a.npz")

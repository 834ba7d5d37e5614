"""Codes from any of the files that hold them."""

import kaldiio
import numpy as np
import pytest

from espnet_stacodec.errors import DataError, TokenError
from espnet_stacodec.evaluation.code_sets import join, read_code_set, read_place
from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.fileio.files import write_scp


def save(path, codes, num_samples: int) -> None:
    Codes(np.array(codes), num_samples, 16000, "f" * 16).save(path)


def test_folders_of_codes(tmp_path):
    save(tmp_path / "one" / "s" / "a.npz", [[1, 2, 3], [4, 5, 6]], 930)
    save(tmp_path / "two" / "b.npz", [[7, 0], [1, 1]], 640)
    found = read_code_set([tmp_path / "one", tmp_path / "two"])
    assert list(found.codes) == ["s/a", "b"] and found.frame_rate_hz == 50
    assert list(found.sizes) == [8, 8]
    assert found.stream(1)["s/a"].tolist() == [4, 5, 6]
    known = join([read_place(tmp_path / "two")], [10, 20], 40.0)
    assert list(known.sizes) == [10, 20] and known.frame_rate_hz == 40
    write_scp(tmp_path / "codes.scp", {"x": tmp_path / "two" / "b.npz"})
    assert read_code_set([tmp_path / "codes.scp"]).frame_rate_hz == 50


def test_a_single_file(tmp_path):
    save(tmp_path / "s ä" / "a.npz", [[1, 2, 3], [4, 5, 6]], 930)
    found = read_place(tmp_path / "s ä" / "a.npz")
    assert list(found.codes) == ["a"] and found.frame_rate_hz == read_place(tmp_path).frame_rate_hz


def test_lists_of_tokens(tmp_path):
    (tmp_path / "tokens").write_text("a 3 1 2\nb 0\n")
    found = read_code_set([tmp_path / "tokens"])
    assert found.codes["a"].tolist() == [[3, 1, 2]] and list(found.sizes) == [4]
    kaldiio.save_ark(
        str(tmp_path / "x.ark"),
        {"a": np.array([5, 6], dtype=np.int32)},
        scp=str(tmp_path / "semantic.scp"),
    )
    assert read_code_set([tmp_path / "semantic.scp"]).codes["a"].tolist() == [[5, 6]]


def test_what_does_not_fit_together(tmp_path):
    save(tmp_path / "one" / "a.npz", [[1, 2], [3, 4]], 640)
    save(tmp_path / "two" / "a.npz", [[1, 2]], 640)
    with pytest.raises(DataError, match="^a is in two of these sets"):
        read_code_set([tmp_path / "one", tmp_path / "two"])
    save(tmp_path / "three" / "b.npz", [[1, 2]], 640)
    with pytest.raises(DataError, match=r"Codes of \[1, 2\] codebooks are not"):
        read_code_set([tmp_path / "one", tmp_path / "three"])
    with pytest.raises(DataError, match=r"2 codebooks with codes up to 4 are not of codebooks"):
        join([read_place(tmp_path / "one")], [4, 4])
    (tmp_path / "text").write_text("a hello\n")
    with pytest.raises(DataError, match="a: 'hello' are not token numbers"):
        read_code_set([tmp_path / "text"])


def test_what_are_no_codes(tmp_path):
    """Such numbers as would be counted with negative indices, or in all of the memory."""
    (tmp_path / "text").write_text("a 1\nb 3 -1\n")
    with pytest.raises(TokenError, match=r"^b: Code -1 of codebook 1, frame 1, is outside 0"):
        read_place(tmp_path / "text")
    (tmp_path / "text").write_text("a 99999999999\n")
    with pytest.raises(TokenError, match="Code 99999999999 of codebook 1"):
        read_place(tmp_path / "text")
    (tmp_path / "text").write_text(f"a {10**20}\n")
    with pytest.raises(DataError, match=f"^a: '{10**20}' are not token numbers"):
        read_place(tmp_path / "text")
    Codes(np.zeros((2, 0), dtype=np.int64), 320, 16000, "0" * 16).save(tmp_path / "none.npz")
    with pytest.raises(TokenError, match="^none: There are no frames"):
        read_place(tmp_path / "none.npz")
    for features in (np.ones((3, 2), dtype=np.float32), np.ones(3, dtype=np.float32)):
        kaldiio.save_ark(str(tmp_path / "x.ark"), {"a": features}, scp=str(tmp_path / "feats.scp"))
        with pytest.raises(TokenError, match=r"^a: Codes must be integers \(n, T\)"):
            read_place(tmp_path / "feats.scp")

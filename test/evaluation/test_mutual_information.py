"""Mutual information with labels of frames."""

import numpy as np
import pytest

from espnet_stacodec.errors import DataError, LengthError
from espnet_stacodec.evaluation.code_sets import CodeSet
from espnet_stacodec.evaluation.mutual_information import (
    information,
    mutual_information,
    read_alignment,
)


def test_known_sequences():
    ids = np.array([0, 1, 2, 3] * 50)
    assert mutual_information(ids, ids) == pytest.approx((2.0, 2.0))
    assert mutual_information(ids, ids // 2) == pytest.approx((1.0, 1.0))
    assert mutual_information(ids % 2, ids // 2) == pytest.approx((0.0, 1.0))


@pytest.fixture
def codes() -> CodeSet:
    """The first codebook is the label times two, or that plus one; the second is noise."""
    rng = np.random.default_rng(0)
    labels = rng.integers(8, size=(4, 1000))
    first = 2 * labels + rng.integers(2, size=labels.shape)
    second = rng.integers(16, size=labels.shape)
    both = np.stack([first, second], axis=1)
    return CodeSet({f"u{i}": one for i, one in enumerate(both)}, [16, 16], 50.0)


def labels_of(codes: CodeSet) -> dict[str, np.ndarray]:
    return {name: one[0] // 2 + 5 for name, one in codes.codes.items()}


def test_a_codebook_that_tells_and_one_that_does_not(codes):
    first, second = information(codes, labels_of(codes))
    assert first.bits == pytest.approx(3, abs=0.05) and first.share == pytest.approx(1, abs=0.02)
    assert first.purity == 1
    assert second.bits == pytest.approx(0, abs=0.01) and 0 < second.chance < 0.05
    assert 1 / 8 < second.purity < 0.2


def test_a_frame_more_or_less_is_brought_to_length(codes):
    labels = labels_of(codes)
    labels["u0"] = labels["u0"][:-1]
    assert information(codes, labels)[0].purity == pytest.approx(1, abs=0.01)
    labels["u1"] = labels["u1"][:-3]
    with pytest.raises(LengthError, match="^u1: "):
        information(codes, labels)


def test_other_names_share_nothing(codes):
    with pytest.raises(DataError, match="their names differ"):
        information(codes, {"x": np.zeros(3, dtype=int)})


def test_an_alignment(tmp_path):
    codes = CodeSet({"a": np.zeros((1, 10), dtype=int)}, [2], 50.0)
    path = tmp_path / "phones.ctm"
    path.write_text("a 1 0.02 0.05 AH\na 1 0.07 0.05 T\nb 1 0.0 1.0 S\n")
    labels = read_alignment(path, codes)
    # Frames have their middles at 10, 30, 50, 70, 90, ... ms.
    assert labels["a"].tolist() == [0, 1, 1, 2, 2, 2, 0, 0, 0, 0] and list(labels) == ["a"]
    path.write_text("a 1 nan 0.05 AH\n")
    with pytest.raises(DataError, match=r"phones\.ctm:1: 'a 1 nan 0.05 AH' is not"):
        read_alignment(path, codes)
    path.write_bytes(b"a 1 0 0.05 \xe4\n")
    with pytest.raises(DataError, match=r"phones\.ctm: the alignment is no UTF-8 text"):
        read_alignment(path, codes)
    path.write_text("a 1 x 0.05 AH\n")
    with pytest.raises(DataError, match=r"phones\.ctm:1: 'a 1 x 0.05 AH' is not"):
        read_alignment(path, codes)
    with pytest.raises(DataError, match="cannot be read"):
        read_alignment(tmp_path / "no", codes)

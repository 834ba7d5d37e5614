"""BPE over codes."""

import numpy as np
import pytest

from espnet_stacodec.downstream.code_bpe import CodeBPE, as_characters
from espnet_stacodec.errors import ConfigError

WORDS = [[3, 1, 4], [1, 5], [9, 2, 6, 5]]


@pytest.fixture
def sequences() -> list[np.ndarray]:
    """Codes that are made of three words."""
    rng = np.random.default_rng(0)
    return [np.concatenate([WORDS[i] for i in rng.integers(0, 3, 20)]) for _ in range(50)]


def test_codes_as_characters_by_hand():
    assert as_characters(np.array([0, 2, 2])) == "一丂丂"  # U+4E00, U+4E02 twice


def test_a_unit_stands_for_several_codes(sequences, tmp_path):
    units = CodeBPE.learn(sequences, 16, tmp_path / "bpe.model")
    tokens = units.token_list()
    assert tokens[:2] == ["<blank>", "<unk>"] and tokens[-1] == "<sos/eos>"
    assert len(tokens) == len(set(tokens)) <= 16 + 2
    for codes in sequences:
        ids = units.encode(codes)
        assert ids.dtype == np.int32 and len(ids) < len(codes) / 2
        # The units are the codes, and nothing else: no mark of a word's beginning.
        assert "".join(tokens[i] for i in ids) == as_characters(codes)
    read = CodeBPE(tmp_path / "bpe.model")
    assert np.array_equal(read.encode(sequences[0]), units.encode(sequences[0]))


def test_a_code_that_was_not_learned_is_unknown(sequences, tmp_path):
    units = CodeBPE.learn(sequences, 16, tmp_path / "bpe.model")
    assert units.encode(np.array([77])).tolist() == [1]


def test_long_utterances_are_learned_from(tmp_path):
    tail = np.tile([7, 8], 5000)  # 200 s
    units = CodeBPE.learn([tail, np.array([1, 2])], 8, tmp_path / "bpe.model")
    assert 1 not in units.encode(np.array([7, 8]))


def test_too_few_units(sequences, tmp_path):
    with pytest.raises(ConfigError, match="src_nbpe 3 is impossible with this text"):
        CodeBPE.learn(sequences, 3, tmp_path / "bpe.model")
    assert not list(tmp_path.iterdir())

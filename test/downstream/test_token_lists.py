"""Token lists of target texts."""

import logging
from pathlib import Path

import pytest
from espnet2.text.build_tokenizer import build_tokenizer
from espnet2.text.token_id_converter import TokenIDConverter

from espnet_stacodec.downstream.token_lists import make_token_list
from espnet_stacodec.errors import ConfigError, DataError
from espnet_stacodec.fileio.files import read_scp, write_scp

TEXT = {"a": "set LIGHTS ON", "b": "set LIGHTS OFF", "c": "play MUSIC", "d": "set MUSIC ÜBER"}
NUM_BPE = 25


@pytest.fixture
def text(tmp_path) -> Path:
    write_scp(tmp_path / "text", TEXT)
    return tmp_path / "text"


def tokens_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


@pytest.mark.parametrize("token_type", ["char", "word", "bpe"])
def test_espnet_says_the_training_text_with_it(text, tmp_path, token_type):
    path = make_token_list(text, token_type, NUM_BPE, tmp_path / "out")
    tokens = tokens_of(path)
    assert tokens[:2] == ["<blank>", "<unk>"] and tokens[-1] == "<sos/eos>"
    assert len(set(tokens)) == len(tokens)

    bpemodel = str(tmp_path / "out" / "bpe.model") if token_type == "bpe" else None
    tokenizer = build_tokenizer(token_type, bpemodel)
    converter = TokenIDConverter(path)
    for sentence in read_scp(text).values():
        ids = converter.tokens2ids(tokenizer.text2tokens(sentence))
        assert converter.unk_id not in ids and max(ids) < len(tokens) - 1
        assert tokenizer.tokens2text(converter.ids2tokens(ids)) == sentence


@pytest.mark.parametrize("token_type", ["char", "word", "bpe"])
def test_the_same_text_makes_the_same_list(text, tmp_path, token_type):
    first, second = (make_token_list(text, token_type, NUM_BPE, tmp_path / n) for n in "12")
    assert first.read_bytes() == second.read_bytes()
    assert {path.name for path in (tmp_path / "1").iterdir()} == (
        {"tokens.txt", "bpe.model"} if token_type == "bpe" else {"tokens.txt"}
    )


def test_words_and_characters_by_hand(tmp_path):
    write_scp(tmp_path / "text", {"a": "ON ON GO", "b": "GO OFF AT"})
    words = make_token_list(tmp_path / "text", "word", 0, tmp_path / "words")
    # By frequency, then by the alphabet.
    assert tokens_of(words) == ["<blank>", "<unk>", "GO", "ON", "AT", "OFF", "<sos/eos>"]
    characters = make_token_list(tmp_path / "text", "char", 0, tmp_path / "characters")
    expected = ["O", "<space>", "F", "G", "N", "A", "T"]
    assert tokens_of(characters) == ["<blank>", "<unk>", *expected, "<sos/eos>"]


def test_sentencepiece_makes_as_many_units_as_asked_for(text, tmp_path):
    tokens = tokens_of(make_token_list(text, "bpe", NUM_BPE, tmp_path / "out"))
    # <unk> is one of them; ESPnet adds <blank> and <sos/eos>.
    assert len(tokens) == NUM_BPE + 2


def test_a_text_of_few_words_makes_fewer_units(text, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        tokens = tokens_of(make_token_list(text, "bpe", 5000, tmp_path / "out"))
    assert len(tokens) < 100
    assert f"nbpe 5000: this text makes only {len(tokens) - 2} units." in caplog.text


def test_fewer_units_than_characters_are_refused(text, tmp_path):
    with pytest.raises(ConfigError, match=r"nbpe 5 is impossible with this text \(.*5 vs 2\d") as e:
        make_token_list(text, "bpe", 5, tmp_path / "out")
    assert "\n" not in str(e.value)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("token_type", ["char", "word", "bpe"])
def test_no_text(tmp_path, token_type):
    (tmp_path / "text").touch()
    with pytest.raises(DataError, match="text: there are no utterances in it"):
        make_token_list(tmp_path / "text", token_type, NUM_BPE, tmp_path / "out")
    with pytest.raises(DataError, match="gone: no such file"):
        make_token_list(tmp_path / "gone", token_type, NUM_BPE, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_type(text, tmp_path):
    with pytest.raises(ConfigError, match="token_type 'phn' is unknown; known are char, word, bpe"):
        make_token_list(text, "phn", NUM_BPE, tmp_path / "out")

"""Token lists of target texts: characters, words, or sentencepiece units."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import sentencepiece
from typeguard import typechecked

from espnet_stacodec.config import choose
from espnet_stacodec.errors import ConfigError
from espnet_stacodec.fileio.files import atomic_write, read_scp, write_text

# ESPnet's special tokens: the first and second, and the last one.
FIRST, LAST = ("<blank>", "<unk>"), "<sos/eos>"
SPACE = "<space>"  # what ESPnet's character tokenizer makes of a blank


def _characters(text: str) -> Iterable[str]:
    return (SPACE if character == " " else character for character in text)


def _words(text: str) -> Iterable[str]:
    return text.split()


UNITS: dict[str, Callable[[str], Iterable[str]]] = {"char": _characters, "word": _words}


@typechecked
def make_token_list(text: Path, token_type: str, num_bpe: int, out_dir: Path) -> Path:
    """Write <out_dir>/tokens.txt and, for "bpe", <out_dir>/bpe.model.

    Args:
        text: The training set's targets, `<utterance id> <words>` lines.
        token_type: "char", "word" or "bpe".
        num_bpe: How many sentencepiece units at most, for "bpe"; a text of few words makes fewer.
        out_dir: Where to write.

    Returns:
        The path of the token list.

    Raises:
        ConfigError: If the type is unknown, or the text has more characters than units.
        DataError: If the text cannot be read.
    """
    sentences = list(read_scp(text).values())
    if token_type == "bpe":
        tokens = train_sentencepiece(sentences, num_bpe, out_dir / "bpe.model")
    else:
        units = choose({**UNITS, "bpe": UNITS["char"]}, token_type, "token_type")
        counts = Counter(unit for sentence in sentences for unit in units(sentence))
        # By frequency, as ESPnet's own lists; ties by the alphabet, to be the same each time.
        tokens = sorted(counts, key=lambda token: (-counts[token], token))
    path = out_dir / "tokens.txt"
    write_text(path, "".join(f"{token}\n" for token in (*FIRST, *tokens, LAST)))
    return path


def train_sentencepiece(
    sentences: Sequence[str], size: int, model: Path, what: str = "nbpe", **options: Any
) -> list[str]:
    """Train a unigram model and return its units, without its own special tokens.

    Args:
        sentences: What to learn from.
        size: How many units at most, <unk> among them.
        model: The file to write.
        what: Name of the option that gives the size.
        options: Further options of sentencepiece.

    Raises:
        ConfigError: If there are not more units than different characters.
    """
    with atomic_write(model) as temporary:
        try:
            with temporary.open("wb") as file:
                sentencepiece.SentencePieceTrainer.train(
                    sentence_iterator=iter(sentences),
                    model_writer=file,
                    vocab_size=size,
                    model_type="unigram",
                    character_coverage=1.0,
                    bos_id=-1,
                    eos_id=-1,
                    # In spite of the vocabulary: a text of few words has only few units.
                    hard_vocab_limit=False,
                    minloglevel=1,
                    **options,
                )
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"{what} {size} is impossible with this text ({reason}).") from error
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    if len(processor) < size:
        logging.warning("%s %d: this text makes only %d units.", what, size, len(processor))
    units = (processor.id_to_piece(index) for index in range(len(processor)))
    return [unit for unit in units if unit != "<unk>"]

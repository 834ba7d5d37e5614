"""BPE over codes: sentencepiece on codes written as characters, as ESPnet's asr2 does."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import sentencepiece
from typeguard import typechecked

from espnet_stacodec.downstream.code_dir_info import FIRST_CODE
from espnet_stacodec.downstream.token_lists import FIRST, LAST, train_sentencepiece

FIRST_CHARACTER = 0x4E00  # of code 0; ESPnet's asr2.sh writes the clusters of a k-means so
# Bytes; sentencepiece leaves out longer utterances, from half a minute on if it is not told.
LONGEST_UTTERANCE = 1_000_000


@typechecked
def as_characters(codes: np.ndarray) -> str:
    """Return codes (T,) of one codebook as a word of T characters."""
    return "".join(chr(FIRST_CHARACTER + code) for code in codes)


class CodeBPE:
    """A sentencepiece model of frequent sequences of codes.

    Args:
        model: The file that `learn` wrote.
    """

    @typechecked
    def __init__(self, model: Path) -> None:
        self._processor = sentencepiece.SentencePieceProcessor(model_file=str(model))

    @classmethod
    @typechecked
    def learn(cls, sequences: Iterable[np.ndarray], size: int, model: Path) -> "CodeBPE":
        """Learn at most `size` units from codes (T,) of a training set, and write `model`.

        Raises:
            ConfigError: If there are not more units than different codes.
        """
        words = [as_characters(codes) for codes in sequences]
        train_sentencepiece(
            words,
            size,
            model,
            what="src_nbpe",
            add_dummy_prefix=False,
            normalization_rule_name="identity",
            max_sentence_length=LONGEST_UTTERANCE,
        )
        return cls(model)

    def token_list(self) -> list[str]:
        """Return ESPnet's source token list; unit 0, <unk>, is its second token."""
        units = (self._processor.id_to_piece(unit) for unit in range(1, len(self._processor)))
        return [*FIRST, *units, LAST]

    @typechecked
    def encode(self, codes: np.ndarray) -> np.ndarray:
        """Return the ids (U,) of the units of codes (T,) in the token list."""
        units = np.asarray(self._processor.encode(as_characters(codes)), np.int32)
        return units + (FIRST_CODE - 1)

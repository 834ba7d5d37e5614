"""Words that a recognizer hears in originals and in their resynthesis, and the errors between."""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from splet.alignment import levenshtein_alignment
from typeguard import typechecked

from espnet_stacodec.config import choose, load_yaml
from espnet_stacodec.errors import naming
from espnet_stacodec.evaluation.recognizer import recognizer_once
from espnet_stacodec.evaluation.scoring import read_at_16k
from espnet_stacodec.fileio.files import identify, one_word, write_scp, write_text
from espnet_stacodec.fileio.parts import Part, Parts, cut
from espnet_stacodec.parallel import Workers, one_thread

PART_UTTERANCES = 50


def _english() -> Callable[[str], str]:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    return EnglishTextNormalizer({})


def _basic() -> Callable[[str], str]:
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    return BasicTextNormalizer()


# How texts are made alike before they are compared: Whisper's normalizers.
NORMALIZERS: dict[str, Callable[[], Callable[[str], str]]] = {"english": _english, "basic": _basic}


@dataclasses.dataclass(frozen=True)
class Recognition:
    """Which recognizer hears the audio, and how its words are compared.

    Attributes:
        source: Its path; see `recognizer.open_recognizer`.
        config: YAML of its decoding options; None for its defaults.
        normalizer: One of `NORMALIZERS`.
        device: Where to compute.
    """

    source: Path
    config: Path | None = None
    normalizer: str = "english"
    device: str = "cpu"

    @property
    def options(self) -> dict[str, Any]:
        """Its decoding options."""
        return load_yaml(self.config) if self.config else {}

    def identity(self) -> list:
        """Return what tells its words from those of another one, as JSON can say it."""
        files = [self.source]
        if self.source.is_dir():
            files = sorted(path for path in self.source.iterdir() if path.is_file())
        return [identify({path.name: str(path) for path in files}), self.options]


@typechecked
def recognition_of(
    source: Path | None, config: Path | None, normalizer: str, device: str
) -> Recognition | None:
    """Return the recognition that options ask for; None without a recognizer.

    Raises:
        ConfigError: If the normalizer is unknown, or the configuration cannot be read.
    """
    choose(NORMALIZERS, normalizer, "--normalizer:")
    if source is None:
        return None
    recognition = Recognition(source, config, normalizer, device)
    recognition.identity()  # fails before anything is computed
    return recognition


@typechecked
def recognize_files(
    recognition: Recognition, files: Mapping[str, str], final: Path, workers: Workers
) -> dict[str, str]:
    """Recognize audio files and write `final`, `<name> <words>` lines; returns the words by name.

    In the file a blank in a name is %20. What an interrupted call has finished is kept. Only one
    command may work on `final` at a time.
    """
    parts = Parts(final, cut(identify(files), PART_UTTERANCES), recognition.identity(), "json")
    work = functools.partial(_recognize, recognition)
    items = dict(files.items())
    compute = workers.map_named(
        work, {name: (name, items[name]) for name in items}, f"recognize {final}"
    )
    parts.complete(compute, _save)
    words: dict[str, str] = {}
    for part in parts:
        words |= json.loads(part.path.read_text(encoding="utf-8"))
    write_scp(final, {one_word(name): said for name, said in words.items()})
    return {name: words[name] for name in files}


def _save(part: Part, words: Sequence[str]) -> None:
    # No list: names of files have blanks.
    write_text(part.path, json.dumps(dict(zip(part.ids, words, strict=True))) + "\n")


@one_thread()
def _recognize(recognition: Recognition, item: tuple[str, str]) -> str:
    name, path = item
    with naming(name):
        wave, _, _ = read_at_16k(path)
    options = json.dumps(recognition.options)
    recognize = recognizer_once(recognition.source, options, recognition.device)
    # A line break would end the line of the list.
    return " ".join(recognize(wave).split())


@typechecked
def word_errors(
    originals: Mapping[str, str],
    estimates: Mapping[str, str],
    texts: Mapping[str, str],
    normalizer: str,
) -> dict[str, dict[str, Any]]:
    """Return the errors of each utterance in words and characters, texts normalized alike.

    Args:
        originals: What was recognized in the originals, by name.
        estimates: In the resynthesis.
        texts: Transcripts. Where there is none, the words of the original stand for it, and the
            original has no errors of its own.
        normalizer: One of `NORMALIZERS`.

    Returns:
        By name: text, text_is ("transcript" or "recognized original"), heard, heard_original (all
        normalized), words, chars (of text), word_errors, char_errors, word_errors_original,
        char_errors_original (the last two None where there is no transcript).
    """
    normalize = choose(NORMALIZERS, normalizer, "--normalizer:")()
    rows = {}
    for name, heard in estimates.items():
        has_text = name in texts
        text = normalize(texts[name] if has_text else originals[name]).strip()
        said, said_before = (normalize(words).strip() for words in (heard, originals[name]))
        row: dict[str, Any] = {
            "text": text,
            "text_is": "transcript" if has_text else "recognized original",
            "heard": said,
            "heard_original": said_before,
            "words": len(text.split()),
            "chars": len(text),
            "word_errors": _errors(text.split(), said.split()),
            "char_errors": _errors(list(text), list(said)),
            "word_errors_original": None,
            "char_errors_original": None,
        }
        if has_text:
            row["word_errors_original"] = _errors(text.split(), said_before.split())
            row["char_errors_original"] = _errors(list(text), list(said_before))
        rows[name] = row
    return rows


def _errors(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    return levenshtein_alignment(list(reference), list(hypothesis)).errors

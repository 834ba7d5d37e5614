"""Write the data directories of run_miniature.sh.

miniature_data.py DATA OUT: DATA holds voices/ (train.tsv and dev.tsv: speaker, sex, source, path,
text), LibriSpeech/train-clean-100/9101 (one reader), slurp/ in SLURP's layout and fsdd/ (isolated
digits, <digit>_<speaker>_<number>.wav).
"""

import csv
import sys
from collections.abc import Iterable
from pathlib import Path

from espnet_stacodec.data_prep import slurp
from espnet_stacodec.fileio.data_dir import DataDir

READER = "9101"
DEV_EVERY = 15  # each so many-th reader is of the development set
TEST_EVERY = 4  # each so many-th speaker with an accent is one that the spelling is tested on
RECORDINGS = 3  # of each digit and speaker
DIGITS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")


def main() -> None:
    """Run the command."""
    data, out = map(Path, sys.argv[1:])
    voices = _voices(data, "train")
    accents = [row for row in voices if row["text"]]
    readers = [row for row in voices if not row["text"]]
    dev = set(sorted({row["speaker"] for row in readers})[::DEV_EVERY])
    chapters = sorted((data / "LibriSpeech/train-clean-100" / READER).rglob("*.flac"))
    _write(
        out / "readers_train",
        [(path, READER, "") for path in chapters]
        + [_entry(row) for row in readers if row["speaker"] not in dev],
    )
    _write(out / "readers_dev", [_entry(row) for row in readers if row["speaker"] in dev])
    _write(out / "readers_test", map(_entry, _voices(data, "dev")))
    tested = set(sorted({row["speaker"] for row in accents})[::TEST_EVERY])
    for name, wanted in (("accents_train", False), ("accents_test", True)):
        chosen = [row for row in accents if (row["speaker"] in tested) == wanted]
        _write(out / name, map(_entry, chosen))
    digits = []
    for path in sorted((data / "fsdd").rglob("*.wav")):
        digit, speaker, number = path.stem.split("_")
        if int(number) < RECORDINGS:
            digits.append((path, speaker, DIGITS[int(digit)]))
    _write(out / "digits", digits)
    speakers = slurp.read_speakers(data / "slurp")
    slurp.prepare_set(data / "slurp", "train", speakers).write(out / "commands")


def _voices(data: Path, part: str) -> list[dict[str, str]]:
    """Return the rows of a list of voices, `path` made absolute."""
    with (data / "voices" / f"{part}.tsv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    return [row | {"path": str((data / "voices" / row["path"]).resolve())} for row in rows]


def _entry(row: dict[str, str]) -> tuple[Path, str, str]:
    return Path(row["path"]), row["speaker"], row["text"]


def _write(folder: Path, entries: Iterable[tuple[Path, str, str]]) -> None:
    """Write a data directory of (audio, speaker, transcript or "") entries."""
    named = {f"{speaker}-{path.stem}": (path, speaker, text) for path, speaker, text in entries}
    texts = {name: text for name, (_, _, text) in named.items() if text}
    DataDir(
        {name: str(path) for name, (path, _, _) in named.items()},
        texts,
        {name: speaker for name, (_, speaker, _) in named.items()},
    ).write(folder)


if __name__ == "__main__":
    main()

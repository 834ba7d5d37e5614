"""Put the scores of the shipped codec's card into README.md, below the marker there."""

import re
import sys
from pathlib import Path

from espnet_stacodec.pretrained.experiment import CARD_NAME
from espnet_stacodec.pretrained.shipped.lookup import DEFAULT_NAME, FOLDER

README = Path(__file__).resolve().parents[1] / "README.md"
MARKER = "<!-- The next table is quoted from the model card by tools/quote_scores.py. -->\n"
TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)


def card_table() -> str:
    """Return the table of scores in the card."""
    card = (FOLDER / DEFAULT_NAME / CARD_NAME).read_text(encoding="utf-8")
    found = TABLE.search(card.partition("\n## Scores\n")[2].partition("\n## ")[0])
    if found is None:
        sys.exit(f"{FOLDER / DEFAULT_NAME / CARD_NAME}: there are no scores in it.")
    return found[0]


def quoted(readme: str, table: str) -> str:
    """Return the text of README with that table below the marker."""
    before, marker, after = readme.partition(MARKER)
    if not marker:
        sys.exit(f"{README}: there is no line '{MARKER.strip()}'.")
    after = after[first.end() :] if (first := TABLE.match(after)) else after
    return before + marker + table + after


if __name__ == "__main__":
    README.write_text(quoted(README.read_text(encoding="utf-8"), card_table()), encoding="utf-8")

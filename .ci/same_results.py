"""Compare what two runs of a recipe made: audio, tokens, codes and scores are the same bytes."""

import json
import logging
import sys
from pathlib import Path

KINDS = {".flac", ".ark", ".safetensors", ".npz", ".wav", ".jsonl"}


def results(folder: Path) -> dict[str, bytes]:
    """Return the results below a folder by their relative paths; scores without their times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        # Hidden ones are parts, whose names tell what they were made of.
        if path.suffix in KINDS and not path.name.startswith("."):
            content = path.read_bytes()
            if path.suffix == ".jsonl":
                rows = map(json.loads, content.splitlines())
                timeless = [[i for i in row.items() if "seconds" not in i[0]] for row in rows]
                content = json.dumps(timeless).encode()
            found[str(path.relative_to(folder))] = content
    return found


def main(one: Path, other: Path) -> None:
    """Exit with status 1 and the name of a file that differs or is not there."""
    first, second = results(one), results(other)
    differing = [name for name in first | second if first.get(name) != second.get(name)]
    if differing or not first:
        sys.exit(f"{one} and {other}: {len(differing)} results differ: {differing[:3]}")
    logging.info("%s and %s: %d results are the same bytes", one, other, len(first))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(Path(sys.argv[1]), Path(sys.argv[2]))

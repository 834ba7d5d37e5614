"""Which files a command works on, and where their results go: folders, lists, single files."""

import collections
import dataclasses
import logging
import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from typeguard import typechecked

from espnet_stacodec.errors import DataError, in_one_sentence

STDIN = "-"
LIST_ENDINGS = (".txt", ".lst")
# Longest path that Linux takes (bytes), and what stands in no name that a person gave.
LONGEST_PATH = 4096
CONTROL = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f]")


@dataclasses.dataclass
class FilePairs:
    """Input files and their outputs.

    Attributes:
        outputs: Input -> output.
        failures: Input that cannot be used -> why, in one sentence.
    """

    outputs: dict[Path, Path] = dataclasses.field(default_factory=dict)
    failures: dict[Path, str] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.outputs) + len(self.failures)


@typechecked
def pair_files(
    inputs: Sequence[Path | str],
    out_dir: Path,
    endings: Collection[str],
    out_ending: str,
    root: Path | None = None,
) -> FilePairs:
    """Find input files, and name their outputs.

    The tree below the deepest folder that holds all `inputs` is kept in the output folder: of one
    folder the tree in it, of two folders these with their trees, of files that lie in one folder
    their names. This depends only on what is named, not on what is found in folders.

    Args:
        inputs: Files, folders, lists of these (.txt or .lst; "-" is a list from standard input).
        out_dir: Gets the outputs.
        endings: Of the files to take from folders, in lower case. Hidden ones are left out.
        out_ending: Of the outputs, in place of the input's.
        root: Folder whose tree is kept, instead of the deepest one that holds all inputs.

    Raises:
        DataError: If a list is not readable, or there is nothing in the lists.
    """
    named = [path for given in inputs for path in _expand(given)]
    if not named:
        raise DataError(f"{', '.join(map(str, inputs))}: there are no files in this list.")
    pairs = FilePairs()
    base = _common_folder(named) if root is None else _absolute(root)
    by_output: dict[Path, dict[Path, Path]] = collections.defaultdict(dict)
    for path in _find(named, endings, pairs.failures):
        absolute = _absolute(path)
        if absolute.is_relative_to(base):
            place = out_dir / absolute.relative_to(base)
            # A file that is named twice counts once.
            by_output[place.with_name(f"{path.stem}{out_ending}")].setdefault(absolute, path)
        else:
            pairs.failures[path] = f"{path}: it does not lie in the folder of --root, {root}."
    for output, sources in by_output.items():
        _add(pairs, list(sources.values()), output)
    return pairs


def _add(pairs: FilePairs, sources: Sequence[Path], output: Path) -> None:
    """Add the inputs with the same output; where there are several, none of them is used."""
    if len(sources) == 1:
        pairs.outputs[sources[0]] = output
        return
    for path in sources:
        other = sources[1] if path == sources[0] else sources[0]
        pairs.failures[path] = f"{path} and {other} would both become {output}; rename one."


def _expand(given: Path | str) -> list[Path]:
    """Return the paths in a list; another path as it is."""
    if str(given) == STDIN:
        # A text stream that a caller has put in its place has no buffer.
        content = getattr(sys.stdin, "buffer", sys.stdin).read()
        content = content if isinstance(content, bytes) else os.fsencode(content)
        return _paths(content, "standard input", "; for raw audio or codes give --stream")
    path = Path(given)
    if path.suffix.lower() not in LIST_ENDINGS or path.is_dir():
        return [path]
    try:
        return _paths(path.read_bytes(), given)
    except OSError as error:
        raise DataError(f"the list {in_one_sentence(error)}") from error


def _paths(content: bytes, where: Path | str, cure: str = "") -> list[Path]:
    """Return the paths of a list: one in each line, or separated as by `find -print0`."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\0" if b"\0" in content else b"\n")
    names = [line for raw in lines if (line := raw.rstrip(b"\r")).strip()]
    if any(len(name) > LONGEST_PATH or CONTROL.search(name) for name in names):
        raise DataError(f"{where}: this is no list of paths, a path in each line{cure}.")
    return [Path(os.fsdecode(name)) for name in names]


def _common_folder(named: Iterable[Path]) -> Path:
    folders = {_absolute(path if path.is_dir() else path.parent) for path in named}
    return Path(os.path.commonpath(folders))


def _absolute(path: Path) -> Path:
    # Links are not resolved: the tree is kept as it is named.
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute() keeps ".."


def _find(
    named: Iterable[Path], endings: Collection[str], failures: dict[Path, str]
) -> Iterator[Path]:
    """Yield files, and those in folders and below them; adds folders without any to `failures`."""
    left_out: collections.Counter[str] = collections.Counter()
    for given in named:
        if not given.is_dir():
            yield given
            continue
        unreadable: list[OSError] = []
        found = False
        for path in _walk(given, unreadable):
            if path.suffix.lower() in endings:
                found = True
                yield path
            else:
                left_out[path.suffix or "without ending"] += 1
        failures |= {Path(error.filename): in_one_sentence(error) for error in unreadable}
        if not found and not unreadable:
            wanted = ", ".join(endings)
            failures[given] = f"{given}: there are no files in it that end with {wanted}."
    if left_out:
        logging.info("other files in the folders are left out: %s", _counts(left_out))


def _walk(folder: Path, unreadable: list[OSError]) -> Iterator[Path]:
    """Yield the files in a folder and below it, also behind links, sorted; no hidden ones."""
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=unreadable.append):
        here = Path(parent)
        folders[:] = sorted(n for n in folders if n[0] != "." and not _is_loop(here / n))
        yield from (here / name for name in sorted(names) if name[0] != ".")


def _is_loop(folder: Path) -> bool:
    """Whether a folder is a link to one that it lies in."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {ending}" for ending, count in sorted(counts.items()))

"""Which files a command works on, and where their results go: folders, lists, single files."""

import collections
import logging
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from espnet_stacodec.errors import DataError, in_one_sentence

STDIN = "-"
LIST_ENDINGS = (".txt", ".lst")


class FilePairs:
    """Input files and their outputs.

    The tree below the deepest folder that holds all inputs is kept in the output folder: of one
    folder, the tree in it; of two folders, these with the trees in them; of files that lie in the
    same folder, their names. It depends on what is named only, not on what is in the folders.

    Args:
        inputs: Files, folders, lists of these (.txt or .lst; "-" is a list from standard input).
        out_dir: Gets the outputs.
        endings: Of the files to take from folders, in lower case. Hidden files are left out.
        out_ending: Of the outputs, in place of that of the input.
        root: Folder whose tree is kept, instead of the deepest one that holds all inputs.

    Attributes:
        outputs: Input -> output, in the order of the inputs and sorted within folders.
        failures: Input that cannot be worked on -> why, in one sentence.

    Raises:
        DataError: If a list is not readable, or nothing is named.
    """

    def __init__(
        self,
        inputs: Sequence[Path | str],
        out_dir: Path,
        endings: Collection[str],
        out_ending: str,
        root: Path | None = None,
    ) -> None:
        self._endings = endings
        self.failures: dict[Path, str] = {}
        self._left_out: collections.Counter[str] = collections.Counter()
        named = [path for given in inputs for path in _expand(given)]
        if not named:
            raise DataError(f"{', '.join(map(str, inputs))}: there are no files in this list.")
        base = _absolute(root) if root is not None else _common_folder(named)
        by_output: dict[Path, dict[Path, Path]] = collections.defaultdict(dict)
        for path in (file for given in named for file in self._files(given)):
            absolute = _absolute(path)
            if not absolute.is_relative_to(base):
                self.failures[path] = f"{path}: it does not lie in the folder {root} of --root."
                continue
            relative = absolute.relative_to(base)
            output = out_dir / relative.parent / f"{relative.stem}{out_ending}"
            by_output[output].setdefault(absolute, path)
        self.outputs: dict[Path, Path] = {}
        for output, sources in by_output.items():
            paths = list(sources.values())
            if len(paths) == 1:
                self.outputs[paths[0]] = output
            for path, other in zip(paths[1:] + paths[:1], paths, strict=True):
                if path != other:
                    self.failures[path] = f"{path} and {other} would both become {output}."
        if self._left_out:
            counts = ", ".join(f"{n} {ending}" for ending, n in self._left_out.most_common(5))
            logging.info("files with other endings are left out: %s", counts)

    def __len__(self) -> int:
        return len(self.outputs) + len(self.failures)

    def _files(self, given: Path) -> Iterator[Path]:
        if not given.is_dir():
            yield given
            return
        found = False
        for path in self._walk(given):
            found = True
            yield path
        if not found and given not in self.failures:
            self.failures[given] = (
                f"{given}: there are no files in it that end with {', '.join(self._endings)}."
            )

    def _walk(self, folder: Path) -> Iterator[Path]:
        """Yield the files in a folder and those below it, also behind links."""
        for parent, folders, names in os.walk(folder, followlinks=True, onerror=self._fail):
            here = Path(parent)
            folders[:] = sorted(name for name in folders if not _is_skipped(here / name))
            for name in sorted(names):
                if name.startswith("."):
                    continue
                if (ending := Path(name).suffix.lower()) in self._endings:
                    yield here / name
                else:
                    self._left_out[ending or "without any"] += 1

    def _fail(self, error: OSError) -> None:
        self.failures[Path(error.filename)] = in_one_sentence(error)


def _is_skipped(folder: Path) -> bool:
    """Whether a folder is hidden, or a link to one that it lies in."""
    if folder.name.startswith("."):
        return True
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def _expand(given: Path | str) -> list[Path]:
    """Return the paths in a list; other paths as they are."""
    if str(given) == STDIN:
        # A text stream in its place, as a caller may set, has no buffer.
        content = getattr(sys.stdin, "buffer", sys.stdin).read()
        return _paths(content if isinstance(content, bytes) else os.fsencode(content))
    path = Path(given)
    if path.suffix.lower() not in LIST_ENDINGS or path.is_dir():
        return [path]
    try:
        return _paths(path.read_bytes())
    except OSError as error:
        raise DataError(f"the list {in_one_sentence(error)}") from error


def _paths(content: bytes) -> list[Path]:
    """Return the paths of a list: one in a line, or separated as by `find -print0`."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\0" if b"\0" in content else b"\n")
    return [Path(os.fsdecode(line)) for raw in lines if (line := raw.rstrip(b"\r")).strip()]


def _common_folder(named: Sequence[Path]) -> Path:
    folders = {_absolute(path if path.is_dir() else path.parent) for path in named}
    return Path(os.path.commonpath(folders))


def _absolute(path: Path) -> Path:
    # Not resolved: names of links are names, too.
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute() keeps ".."

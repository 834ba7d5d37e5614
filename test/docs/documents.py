"""README and docs as the tests see them: their commands, code, tables, links and inline code."""

import dataclasses
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
OPTION = re.compile(r"(?<![\w-])--[a-zA-Z][\w-]*")
SEPARATORS = {"&&", ";", "|", "||"}


def name_of(page: Path) -> str:
    """Return a page's name in test ids and messages."""
    return str(page.relative_to(ROOT))


def module_of(path: Path) -> ModuleType:
    """Return a program of tools/ as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(page: Path, language: str) -> list[str]:
    """Return the contents of a page's fenced blocks of a language."""
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [content for kind, content in found if kind == language]


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def inline_code(page: Path) -> list[str]:
    """Return what stands between single backticks in a page, on one line each."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(page))]


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of a shell block.

    Attributes:
        folder: Where the block has changed to; it begins at the root of the repository.
        words: Its words, without what sets variables.
    """

    folder: Path
    words: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.words)


def is_elsewhere(folder: Path) -> bool:
    """Return whether a folder is a placeholder for one of the reader's, such as a checkout."""
    return folder.is_relative_to("/path/to")


def commands(page: Path) -> Iterator[Command]:
    """Yield the commands of a page's shell blocks."""
    for block in blocks(page, "sh"):
        folder = ROOT
        for line in block.replace("\\\n", " ").splitlines():
            for words in _split(line):
                while words and re.match(r"[A-Z_]+=", words[0]):
                    words = words[1:]
                if words and words[0] == "cd":
                    folder = (folder / words[1]).resolve()
                    assert folder.is_dir() or is_elsewhere(folder), f"{page}: {words}"
                elif words:
                    yield Command(folder, tuple(words))


def _split(line: str) -> Iterator[list[str]]:
    """Yield the words of each command of a line."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&;|")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if word in SEPARATORS:
            yield words
            words = []
        else:
            words.append(word)
    yield words


def section(page: Path, heading: str) -> str:
    """Return the text below a heading, up to the next one of any level."""
    parts = re.split(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    texts = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert heading in texts, f"{name_of(page)} has no section '{heading}'"
    return texts[heading]


def table(text: str) -> list[list[str]]:
    """Return the cells of the rows of the first table of a text, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines[2:]]
    return [[cell.strip() for cell in row] for row in rows]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}

"""Imports go one way, as the design says; read from the source, also inside functions."""

import ast
import re
from pathlib import Path

import pytest

import espnet_stacodec

PACKAGE = Path(espnet_stacodec.__file__).parent
# From the bottom up; what stands in one row may not import each other unless it is one package.
ORDER = [
    {"errors"},
    {"config", "frames"},
    {"parallel"},
    {"fileio"},
    {"data_prep", "semantic", "gan_codec", "encoder"},
    {"iterators", "streaming"},
    {"pretrained"},
    {"inference"},
    {"evaluation", "frontend", "downstream"},
    {"train", "demo"},
    {"tasks"},
    {"bin"},
]
LEVEL = {part: level for level, parts in enumerate(ORDER) for part in parts}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Return the parts of this package that a file imports, wherever in it."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they go"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        parts |= {
            parts[1]
            for parts in (name.split(".") for name in names)
            if parts[0] == "espnet_stacodec" and len(parts) > 1 and parts[1] != "__version__"
        }
    return parts


# The package's own __init__ imports its parts when they are asked for.
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def test_every_part_has_its_place():
    assert {part_of(path) for path in FILES} == set(LEVEL)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_part_imports_only_what_lies_below_it(path):
    part = part_of(path)
    for other in imported(path) - {part}:
        assert LEVEL[other] < LEVEL[part], f"{part} imports {other}"


def test_the_check_sees_what_it_should(tmp_path):
    source = (
        "import espnet_stacodec.semantic.kmeans\ndef f():\n    from espnet_stacodec import bin\n"
    )
    (tmp_path / "a.py").write_text(source)
    assert imported(tmp_path / "a.py") == {"semantic", "bin"}


def test_only_public_names_of_parts_are_used_from_outside():
    """An underscore in an import from another part breaks when that part is tidied up."""
    pattern = re.compile(r"from espnet_stacodec\.(\w+)\S* import [^\n]*\b_[a-z]\w*")
    for path in FILES:
        for match in pattern.finditer(path.read_text(encoding="utf-8")):
            assert match[1] == part_of(path), f"{path}: {match[0]}"

"""Imports go one way, as the design says; read from the source, also inside functions."""

import ast
import re
from pathlib import Path

import pytest

import espnet_stacodec

PACKAGE = Path(espnet_stacodec.__file__).parent
# From the bottom up; what stands in one row may not import each other unless it is one room.
ORDER = [
    {"errors"},
    {"frames", "config", "files"},
    {"parallel", "data_dir", "audio", "codes", "metrics", "arks"},
    {"semantic", "gan_codec", "experiment", "format_audio", "data_prep"},
    {"iterators", "train", "packing", "releases", "batching", "speed_perturbation"},
    {"tasks", "inference"},
    {"encoder", "frontend"},
    {"downstream", "evaluation"},
    {"bin"},
]
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Return the rooms of this package that a file imports, wherever in it."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they go"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        rooms |= {
            parts[1]
            for parts in (name.split(".") for name in names)
            if parts[0] == "espnet_stacodec" and len(parts) > 1
        }
    return rooms


# The package's own __init__ imports its rooms when they are asked for.
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def test_every_room_has_its_place():
    assert {room_of(path) for path in FILES} == set(LEVEL)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_lies_below_it(path):
    room = room_of(path)
    for other in imported(path) - {room}:
        assert LEVEL[other] < LEVEL[room], f"{room} imports {other}"


def test_the_check_sees_what_it_should(tmp_path):
    source = (
        "import espnet_stacodec.semantic.kmeans\ndef f():\n    from espnet_stacodec import bin\n"
    )
    (tmp_path / "a.py").write_text(source)
    assert imported(tmp_path / "a.py") == {"semantic", "bin"}


def test_only_public_parts_of_rooms_are_used_from_outside():
    """An underscore in an import from another room breaks when that room is tidied up."""
    pattern = re.compile(r"from espnet_stacodec\.(\w+)\S* import [^\n]*\b_[a-z]\w*")
    for path in FILES:
        for match in pattern.finditer(path.read_text(encoding="utf-8")):
            assert match[1] == room_of(path), f"{path}: {match[0]}"

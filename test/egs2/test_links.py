"""Recipes share files through egs2/TEMPLATE only: each corpus can be copied or removed alone."""

from pathlib import Path

import pytest

RECIPES = Path(__file__).resolve().parents[2] / "egs2"
TEMPLATE = RECIPES / "TEMPLATE"
MADE_BY_RUNS = {"data", "downloads", "dump", "exp", "logs"}


def links() -> list[Path]:
    """Return all symbolic links of the recipes."""
    found = []
    for folder, folders, files in RECIPES.walk():
        folders[:] = [name for name in folders if name not in MADE_BY_RUNS]
        found += [path for name in folders + files if (path := folder / name).is_symlink()]
    return sorted(found)


def test_there_are_links_to_check():
    assert any(path.name == "codec.sh" for path in links())


@pytest.mark.parametrize("link", links(), ids=lambda path: str(path.relative_to(RECIPES)))
def test_a_link_stays_in_its_corpus_or_points_to_the_template(link):
    corpus = RECIPES / link.relative_to(RECIPES).parts[0]
    # Where it points itself, not where a chain of links ends.
    target = Path(link.parent, link.readlink())
    assert not link.readlink().is_absolute()
    assert target.exists(), f"{link} points to nothing"
    normal = Path(*target.parent.resolve().parts, target.name)
    assert normal.is_relative_to(TEMPLATE) or normal.is_relative_to(corpus)
    assert target.resolve().is_relative_to(TEMPLATE) or target.resolve().is_relative_to(corpus)


def test_no_two_recipes_hold_the_same_file():
    """What several recipes need is written once."""
    by_content: dict[bytes, Path] = {}
    for folder, folders, files in RECIPES.walk():
        folders[:] = [name for name in folders if name not in MADE_BY_RUNS]
        for path in (folder / name for name in files):
            if not path.is_symlink() and path.suffix in (".py", ".sh", ".yaml"):
                first = by_content.setdefault(path.read_bytes(), path)
                assert first == path, f"{path} repeats {first}"

"""tools/link_espnet.sh: this plugin's recipes in a checkout of ESPnet."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPES = sorted(path.parent for path in ROOT.glob("egs2/*/*/run.sh"))


def call(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [ROOT / "tools" / "link_espnet.sh", *arguments], capture_output=True, text=True
    )


def link_to(espnet: Path, recipe: Path) -> Path:
    return espnet / "egs2" / recipe.parent.name / f"stacodec_{recipe.name}"


def tree(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.fixture
def espnet(tmp_path) -> Path:
    """What makes a folder an ESPnet checkout, and a recipe of it."""
    folder = tmp_path / "espnet"
    for part in ("espnet2", "tools"):
        (folder / part).mkdir(parents=True)
    for script in ("TEMPLATE/asr2/asr2.sh", "TEMPLATE/slu1/slu.sh", "librispeech/codec1/run.sh"):
        path = folder / "egs2" / script
        path.parent.mkdir(parents=True)
        path.write_text("theirs")
    return folder


def test_recipes_are_linked_beside_theirs_and_twice_does_no_harm(espnet):
    theirs = [path for path in tree(espnet) if path.is_file()]
    for _ in range(2):
        done = call(espnet)
        assert done.returncode == 0, done.stderr
        for recipe in RECIPES:
            link = link_to(espnet, recipe)
            assert link.is_symlink() and link.resolve() == recipe
            assert not (recipe / recipe.name).exists(follow_symlinks=False)
    assert [path for path in tree(espnet) if path.is_file()] == theirs
    assert all(path.read_text() == "theirs" for path in theirs)


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_there_is_never_replaced(espnet, tmp_path, kind):
    taken = link_to(espnet, RECIPES[-1])
    taken.parent.mkdir(parents=True, exist_ok=True)
    if kind == "folder":
        taken.mkdir()
    elif kind == "file":
        taken.touch()
    else:
        taken.symlink_to(tmp_path / "gone")
    before = tree(espnet)
    done = call(espnet)
    assert done.returncode == 1 and tree(espnet) == before
    assert done.stderr == (
        f"link_espnet.sh: error: {taken} is there and not a link to {RECIPES[-1]};"
        " remove or rename it first.\n"
    )


def test_other_folders_are_refused_in_one_sentence(tmp_path):
    for arguments, sentence in (
        ([tmp_path], f"{tmp_path} is not an ESPnet checkout, it has no espnet2."),
        ([ROOT], f"{ROOT} is not an ESPnet checkout, it has no espnet2."),
        ([], "give one folder, an ESPnet checkout; see --help."),
    ):
        done = call(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"link_espnet.sh: error: {sentence}\n"
    assert call("--help").stdout.startswith("Usage: tools/link_espnet.sh /path/to/espnet")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_linked_recipes_answer(espnet, recipe):
    call(espnet)
    done = subprocess.run(
        [link_to(espnet, recipe) / "run.sh", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.startswith("Usage: ./run.sh"), done.stderr


def test_a_linked_recipe_has_the_environment_of_the_plugin(espnet, tmp_path):
    plugin = tmp_path / "plugin"
    shutil.copytree(ROOT / "tools", plugin / "tools")
    recipe = plugin / "egs2" / "librispeech" / "codec2"
    recipe.mkdir(parents=True)
    (recipe / "run.sh").touch()
    shutil.copy(ROOT / "egs2" / "librispeech" / "codec1" / "path.sh", recipe)
    (plugin / "setup.py").write_text("import setuptools")
    commands = plugin / ".venv" / "bin"
    commands.mkdir(parents=True)
    parts = ("setup.py", "tools/constraints.txt", "tools/overrides.txt")
    made_of = b"".join((plugin / part).read_bytes() for part in parts)
    stamp = subprocess.run(["cksum"], input=made_of, capture_output=True, check=True).stdout
    (plugin / ".venv" / "setup-stamp").write_text(f"{stamp.decode().strip()} {plugin}\n")
    subprocess.run([plugin / "tools" / "link_espnet.sh", espnet], check=True)
    before = tree(espnet)
    # As from a shell that went there: the folder's name is then the link's.
    done = subprocess.run(
        ["bash", "-c", f'cd {link_to(espnet, recipe)} && . ./path.sh && echo "${{PATH%%:*}}"'],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert (done.returncode, done.stdout) == (0, f"{commands}\n"), done.stderr
    assert tree(espnet) == before

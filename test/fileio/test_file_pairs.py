"""Finding input files and naming outputs."""

import io
import logging
import os
import sys
from pathlib import Path

import pytest

from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.file_pairs import pair_files

OUT = Path("out")


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def paired(*inputs: Path | str, **options: Path) -> dict[str, str]:
    """Return input -> output, of inputs that all can be used."""
    pairs = pair_files(inputs, OUT, (".wav", ".flac"), ".npz", **options)
    assert pairs.failures == {} and len(pairs) == len(pairs.outputs)
    return {str(source): str(output) for source, output in pairs.outputs.items()}


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """Audio in two folders, with equal names; the working directory is above them."""
    monkeypatch.chdir(tmp_path)
    touch(*(tmp_path / name for name in ("a/x.wav", "a/deep/y.v2.FLAC", "b/x.wav", "b/note.md")))
    return tmp_path


def test_the_tree_below_a_folder_is_kept(tree):
    found = {"a/deep/y.v2.FLAC": "out/deep/y.v2.npz", "a/x.wav": "out/x.npz"}
    assert paired("a") == paired(Path("a/")) == found
    absolute = {str(tree / path): output for path, output in found.items()}
    assert paired(tree / "a") == absolute
    assert paired("a/../a/deep") == {"a/../a/deep/y.v2.FLAC": "out/y.v2.npz"}


@pytest.mark.parametrize(
    "inputs, outputs",
    [
        (["a/x.wav"], ["out/x.npz"]),
        (["a/x.wav", "b/x.wav"], ["out/a/x.npz", "out/b/x.npz"]),
        (["a", "b"], ["out/a/deep/y.v2.npz", "out/a/x.npz", "out/b/x.npz"]),
        (["a/deep", "b"], ["out/a/deep/y.v2.npz", "out/b/x.npz"]),
        (["a", "a/x.wav", "./a/../a/x.wav"], ["out/deep/y.v2.npz", "out/x.npz"]),
    ],
)
def test_equal_names_in_different_folders(tree, inputs, outputs):
    assert sorted(paired(*inputs).values()) == outputs


def test_the_root_can_be_chosen(tree):
    """Two parts of a list get the same places as the whole."""
    assert paired("a/x.wav", root=Path()) == {"a/x.wav": "out/a/x.npz"}
    pairs = pair_files(["a/x.wav", "b/x.wav"], OUT, (".wav",), ".npz", Path("b"))
    assert pairs.outputs == {Path("b/x.wav"): Path("out/x.npz")}
    assert pairs.failures[Path("a/x.wav")].endswith("does not lie in the folder of --root, b.")


NON_UTF8 = b"caf\xe9.wav"


@pytest.mark.parametrize(
    "content",
    [
        b"a/x.wav\n" + NON_UTF8 + b"\nb\n",
        b"\xef\xbb\xbfa/x.wav\r\n\r\n" + NON_UTF8 + b"\r\nb",
        b"a/x.wav\0" + NON_UTF8 + b"\0b\0",
    ],
)
@pytest.mark.parametrize("source", ["files.txt", "files.lst", "-"])
def test_lists(tree, content, source, monkeypatch):
    """As editors on any system write them, and as `find -print0` does."""
    touch(tree / os.fsdecode(NON_UTF8))
    if source == "-":
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    else:
        (tree / source).write_bytes(content)
    assert paired(source) == {
        "a/x.wav": "out/a/x.npz",
        os.fsdecode(NON_UTF8): f"out/{os.fsdecode(NON_UTF8[:-4])}.npz",
        "b/x.wav": "out/b/x.npz",
    }


@pytest.mark.parametrize(
    "content", [b"RIFF\x24\0\0\0WAVEfmt \x10\0", b"\n" + b"a" * 5000, b"a.wav\n\x01\n"]
)
def test_what_is_no_list(tree, content, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    with pytest.raises(DataError, match=r"^standard input: this is no list.*give --stream\.$"):
        pair_files(["-"], Path("out"), [".wav"], ".npz")
    Path("take.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"^take\.txt: this is no list of paths.*each line\.$"):
        pair_files(["take.txt"], Path("out"), [".wav"], ".npz")


def test_lists_without_files(tree, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    with pytest.raises(DataError, match="-: there are no files in this list"):
        paired("-")
    with pytest.raises(DataError, match=r"the list no\.txt: No such file or directory\."):
        paired("no.txt")


def test_files_that_would_overwrite_each_other(tree):
    """None of them is used: which one is meant cannot be known."""
    touch(tree / "a" / "x.flac", tree / "a" / "z.wav")
    pairs = pair_files(["a"], OUT, (".wav", ".flac"), ".npz")
    assert list(pairs.outputs.values()) == [Path("out/z.npz"), Path("out/deep/y.v2.npz")]
    assert pairs.failures == {
        Path("a/x.flac"): "a/x.flac and a/x.wav would both become out/x.npz; rename one.",
        Path("a/x.wav"): "a/x.wav and a/x.flac would both become out/x.npz; rename one.",
    }


def test_what_is_not_taken_from_folders(tree, caplog):
    """Hidden files, e.g. those of other systems and unfinished ones, and other kinds of files."""
    touch(tree / "a" / "._x.wav", tree / "a" / ".cache" / "z.wav", tree / "a" / "movie.mp4")
    with caplog.at_level(logging.INFO):
        assert set(paired("a")) == {"a/x.wav", "a/deep/y.v2.FLAC"}
    assert "left out: 1 .mp4" in caplog.text
    assert set(paired("a/movie.mp4")) == {"a/movie.mp4"}  # but what is named is taken
    (tree / "empty").mkdir()
    pairs = pair_files(["a", "empty"], OUT, (".wav", ".flac"), ".npz")
    assert len(pairs.outputs) == 2
    assert pairs.failures[Path("empty")] == (
        "empty: there are no files in it that end with .wav, .flac."
    )


def test_links_are_followed_but_not_in_circles(tree):
    (tree / "a" / "more").symlink_to(tree / "b")
    (tree / "a" / "deep" / "up").symlink_to(tree / "a")
    assert set(paired("a").values()) == {"out/x.npz", "out/deep/y.v2.npz", "out/more/x.npz"}


def test_folders_that_cannot_be_read(tree, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    pairs = pair_files(["a"], OUT, (".wav",), ".npz")
    assert pairs.outputs == {Path("a/x.wav"): Path("out/x.npz")}
    assert pairs.failures == {Path("a/deep"): "a/deep: Permission denied."}

"""Files that appear whole or not at all, two-column lists, fingerprints."""

import errno
import os
import shutil
import stat

import numpy as np
import pytest
from safetensors import SafetensorError

from espnet_stacodec.errors import DataError, StageError
from espnet_stacodec.fileio.files import (
    atomic_write,
    fingerprint,
    identify,
    move_folder,
    one_word,
    read_scp,
    require,
    scratch_folder,
    write_scp,
    write_text,
)


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "a.npz"
    with atomic_write(path) as temporary:
        assert temporary.parent == path.parent and temporary.suffix == ".npz"
        temporary.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"
    assert [p.name for p in path.parent.iterdir()] == ["a.npz"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),  # of a file's write: it has no name
        OSError("2691 requested and 2016 written"),
        SafetensorError("Error while serializing: I/O error: No space left (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"),
        shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")]),
    ],
)
def test_a_full_disk_names_the_file_whoever_says_it(error, tmp_path):
    with pytest.raises(OSError) as caught, atomic_write(tmp_path / "a.npy"):
        raise error
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "a.npy"))
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError, match="stop"), atomic_write(path) as temporary:
        temporary.write_text("new")
        raise RuntimeError("stop")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture(params=[0o022, 0o002, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_permissions_follow_the_umask(tmp_path, umask):
    write_text(tmp_path / "a", "text")
    with atomic_write(tmp_path / "b") as temporary:
        # As safetensors does: another file, which only its owner can read.
        temporary.unlink()
        temporary.touch(0o600)
    assert mode_of(tmp_path / "a") == mode_of(tmp_path / "b") == 0o666 & ~umask
    with scratch_folder(tmp_path / "c") as temporary:
        move_folder(temporary, tmp_path / "c")
    assert mode_of(tmp_path / "c") == 0o777 & ~umask


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path):
    path = tmp_path / ("u" * 250 + ".wav")
    write_text(path, "audio")
    assert path.read_text() == "audio"


def test_a_scratch_folder_goes_and_so_does_that_of_a_killed_process(tmp_path, dead_temporary):
    dead_temporary(tmp_path, "").mkdir()
    with scratch_folder(tmp_path / "a") as temporary:
        (temporary / "file").touch()
        assert list(tmp_path.iterdir()) == [temporary]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_another_process_made_first_stays(tmp_path):
    write_text(tmp_path / "a" / "who", "quicker")
    with scratch_folder(tmp_path / "a") as temporary:
        move_folder(temporary, tmp_path / "a")
    assert (tmp_path / "a" / "who").read_text() == "quicker"
    with scratch_folder(tmp_path / "b") as temporary, pytest.raises(OSError, match="No such file"):
        move_folder(temporary, tmp_path / "nowhere" / "b")


def test_what_a_stage_has_not_made(tmp_path):
    assert require(tmp_path, "stage 2") == tmp_path
    with pytest.raises(StageError, match=r"/a: not there; run stage 2 first\.$"):
        require(tmp_path / "a", "stage 2")


def test_a_file_that_was_made_again_is_another(tmp_path):
    ark, wav = tmp_path / "a.ark", tmp_path / "b.wav"
    ark.write_bytes(b"12345")
    wav.write_bytes(b"123")
    places = {"a": f"{ark}:2", "b": str(wav), "c": f"{ark}:4"}
    before = identify(places)
    assert identify(places) == before and list(before) == ["a", "b", "c"]
    assert before["a"] != before["c"]
    os.utime(ark, ns=(0, ark.stat().st_mtime_ns + 1))
    after = identify(places)
    assert after["a"] != before["a"] and after["c"] != before["c"] and after["b"] == before["b"]
    wav.unlink()
    with pytest.raises(DataError, match=r"^b: .*b\.wav cannot be read \(No such file"):
        identify(places)


def test_a_file_that_says_the_same_already_keeps_its_time(tmp_path):
    path = tmp_path / "text"
    write_text(path, "ü\n")
    os.utime(path, (1, 1))
    write_text(path, "ü\n")
    assert path.stat().st_mtime == 1
    write_text(path, "u\n")
    assert path.stat().st_mtime > 1 and path.read_text() == "u\n"


def test_a_list_comes_back_as_it_was_written(tmp_path):
    # U+2028 and U+0085 end lines for str.splitlines, not for Kaldi.
    entries = {"b": "x  y", "B": "1", "é": "to\u2028be\x85or", "a-1": "z"}
    write_scp(tmp_path / "text", entries)
    lines = (tmp_path / "text").read_text(encoding="utf-8").split("\n")
    assert [line.split(" ")[0] for line in lines] == ["B", "a-1", "b", "é", ""]
    assert read_scp(tmp_path / "text") == entries
    write_scp(tmp_path / "number", {"a": 3})
    assert read_scp(tmp_path / "number") == {"a": "3"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "a.scp: no such file; run the stage"),
        (b"", "a.scp: there are no utterances"),
        (b"a 1\nb\n", "a.scp:2: 'b' has no value"),
        (b"a 1\nb  \n", "a.scp:2: 'b  ' has no value"),
        (b"a 1\n\nb 2\n", "a.scp:2: the line is blank; remove it"),
        (b"a 1\na 2\n", "a.scp:2: utterance id 'a' is there twice"),
        (b"a 1\nb 2\na 2\n", "a.scp:3: utterance id 'a' is there twice"),
        (b"b 1\na 2\n", "a.scp:2: 'a' comes after 'b'; sort it with LC_ALL=C"),
        (b"a 1\nB 2\n", "a.scp:2: 'B' comes after 'a'"),
        (b"a 1\nb \xff\n", "a.scp:2: byte 0xff is not UTF-8 text; convert"),
        ("a 1\n".encode("utf-16"), "a.scp: this is UTF-16 text; convert it to UTF-8"),
    ],
)
def test_bad_lists_are_errors_that_name_file_and_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.scp").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_scp(tmp_path / "a.scp")


@pytest.mark.parametrize(
    "content",
    [
        b"a\tx  y\nb\t1\n",
        b"a x  y\r\nb 1\r\n",
        b"a x  y\rb 1\r",
        b"\xef\xbb\xbfa x  y\nb 1",
        b" a \t x  y \t\nb\x0b1\n",
        "a\u00a0x  y\nb\u30001\n".encode(),
    ],
    ids=["tabs", "CRLF", "CR", "byte order mark", "mixed", "other white space"],
)
def test_lists_are_read_as_espnet_reads_them(tmp_path, content):
    from espnet2.fileio.read_text import read_2columns_text

    (tmp_path / "a.scp").write_bytes(content)
    assert read_scp(tmp_path / "a.scp") == {"a": "x  y", "b": "1"}
    theirs = read_2columns_text(tmp_path / "a.scp")
    assert {utt_id.lstrip("\ufeff"): value for utt_id, value in theirs.items()} == {
        "a": "x  y",
        "b": "1",
    }


def test_values_may_be_empty_where_that_is_allowed(tmp_path):
    entries = {"a": "", "b": "x", "c": ""}
    write_scp(tmp_path / "text", entries)
    assert (tmp_path / "text").read_bytes() == b"a\nb x\nc\n"
    assert read_scp(tmp_path / "text", allow_empty=True) == entries
    with pytest.raises(DataError, match="text:1: 'a' has no value"):
        read_scp(tmp_path / "text")


def test_a_fingerprint_depends_on_everything_but_the_order():
    one, two = ("a", np.arange(4, dtype=np.int32)), ("b", np.ones((2, 3), np.float32))
    value = fingerprint([one, two])
    assert len(value) == 16 and int(value, 16) >= 0
    assert fingerprint([two, one]) == value
    others: list[list] = [
        [one],
        [("c", one[1]), two],
        [("a", one[1].astype(np.int64)), two],
        [("a", one[1].reshape(2, 2)), two],
        [("a", one[1] + 1), two],
    ]
    assert len({value} | {fingerprint(arrays) for arrays in others}) == 6
    assert fingerprint([one, ("b", np.ones((3, 2), np.float32).T)]) == value


def test_names_as_ids_of_lists():
    names = ("a/b", "my voice", "a\u3000\tb", os.fsdecode(b"\xe4"))
    expected = ["a/b", "my%20voice", "a%E3%80%80%09b", "%E4"]
    assert [one_word(name) for name in names] == expected

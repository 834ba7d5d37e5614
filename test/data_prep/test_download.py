"""Downloads from a local server that misbehaves as real ones do."""

import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from espnet_stacodec.data_prep.download import MAX_FRUITLESS_ATTEMPTS, download, extract_tar
from espnet_stacodec.errors import DataError

CONTENT = np.random.default_rng(0).bytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT as /file; what it does wrong is set by the test."""

    drops: int = 0  # answers that are cut after `kept` bytes
    kept: int = 100_000
    ranges: bool = True
    status: int = 200
    content: bytes = CONTENT

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.seen.append(wanted)
        total = len(server.content)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        if server.status != 200 or start >= total:
            self.send_response(416 if server.status == 200 else server.status)
            self.send_header("Content-Range", f"bytes */{total}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(total - start))
        self.end_headers()
        end = total
        if server.drops:
            server.drops -= 1
            end = start + server.kept
        self.wfile.write(server.content[start:end])

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_goes_on_where_the_connection_broke_off(server, tmp_path):
    server.drops = 2
    path = download(server.url, tmp_path / "new" / "file", MD5, first_wait_seconds=0)
    assert path.read_bytes() == CONTENT
    assert server.seen == [None, "bytes=100000-", "bytes=200000-"]
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_goes_on_from_the_part_of_an_earlier_call(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT[:1234])
    assert download(server.url, tmp_path / "file", MD5).read_bytes() == CONTENT
    assert server.seen == ["bytes=1234-"]


def test_part_that_is_complete_or_too_long(server, tmp_path):
    for name, surplus in {"complete": b"", "longer": b"xyz"}.items():
        (tmp_path / f"{name}.part").write_bytes(CONTENT + surplus)
        assert download(server.url, tmp_path / name, MD5).read_bytes() == CONTENT


def test_server_without_ranges_starts_over(server, tmp_path):
    server.ranges, server.drops = False, 1
    assert download(server.url, tmp_path / "file", MD5, 0.0).read_bytes() == CONTENT


def test_existing_file_is_not_asked_for(server, tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    assert download(server.url, tmp_path / "file", MD5).read_bytes() == b"mine"
    assert server.seen == []


def test_wrong_checksum_removes_the_file_so_that_a_rerun_starts_anew(server, tmp_path):
    server.content = b"a page that says: down for maintenance"
    with pytest.raises(DataError, match=r"checksum of what arrived is .*, expected .*anew"):
        download(server.url, tmp_path / "file", MD5)
    assert list(tmp_path.iterdir()) == []
    server.content = CONTENT
    assert download(server.url, tmp_path / "file", MD5).read_bytes() == CONTENT


def test_missing_file_is_said_at_once(server, tmp_path):
    server.status = 404
    with pytest.raises(DataError, match=r"/file: the server answers 404 \(Not Found\)"):
        download(server.url, tmp_path / "file", MD5)
    assert len(server.seen) == 1


def test_gives_up_when_nothing_arrives_any_more(server, tmp_path):
    server.drops, server.kept = 100, 0
    (tmp_path / "file.part").write_bytes(CONTENT[:7])
    with pytest.raises(DataError, match="stopped at 7 bytes, 5 attempts in a row"):
        download(server.url, tmp_path / "file", MD5, first_wait_seconds=0)
    assert len(server.seen) == MAX_FRUITLESS_ATTEMPTS
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:7]


def test_server_error_and_no_server(server, tmp_path):
    server.status = 503
    with pytest.raises(DataError, match="503"):
        download(server.url, tmp_path / "file", first_wait_seconds=0)
    with pytest.raises(DataError, match="refused"):
        download("http://127.0.0.1:1/file", tmp_path / "file", first_wait_seconds=0)
    with pytest.raises(DataError, match=r"only http:// and https://"):
        download("ftp://127.0.0.1/file", tmp_path / "file")


def make_tar(path, names):
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 1000
            tar.addfile(info, io.BytesIO(CONTENT[:1000]))


def test_extracts_one_folder(tmp_path):
    make_tar(tmp_path / "a.tar.gz", ["top/README", "top/part/1/a", "top/part/b", "top/party/c"])
    folder = extract_tar(tmp_path / "a.tar.gz", "top/part", tmp_path / "out" / "part")
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*")) == ["1", "1/a", "b"]
    assert (folder / "b").read_bytes() == CONTENT[:1000]
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["part"]


def test_broken_archives_leave_nothing_behind(tmp_path):
    make_tar(tmp_path / "a.tar.gz", [f"top/part/{n}" for n in range(200)])
    whole = (tmp_path / "a.tar.gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "page.tar.gz").write_bytes(b"<html>")
    for name in ("cut", "page"):
        with pytest.raises(DataError, match=rf"{name}.tar.gz: the archive cannot be unpacked"):
            extract_tar(tmp_path / f"{name}.tar.gz", "top/part", tmp_path / "out" / "part")
    with pytest.raises(DataError, match="no folder 'top/other'"):
        extract_tar(tmp_path / "a.tar.gz", "top/other", tmp_path / "out" / "part")
    assert list((tmp_path / "out").iterdir()) == []


def test_archive_that_points_outside_is_refused(tmp_path):
    make_tar(tmp_path / "a.tar.gz", ["top/part/a", "top/part/../../../../evil"])
    with pytest.raises(DataError, match="outside"):
        extract_tar(tmp_path / "a.tar.gz", "top/part", tmp_path / "out" / "part")
    assert not list(tmp_path.rglob("evil"))

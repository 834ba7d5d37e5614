"""LibriSpeech's layout, from archives and from disk, into data directories."""

import concurrent.futures
import functools
import hashlib
import http.server
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_stacodec.bin import prepare_librispeech
from espnet_stacodec.data_prep import librispeech
from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.data_dir import DataDir
from espnet_stacodec.fileio.files import read_scp

LINES = {
    "dev-clean/84/12": ["84-12-0000 GO ON", "84-12-0001 AND ON"],
    "dev-clean/9/7": ["9-7-0000 NINE"],
    "dev-other/11/1": ["11-1-0000 ELEVEN"],
    "dev-clean-2/13/5": ["13-5-0000 THIRTEEN"],
}


def add_chapter(corpus: Path, chapter: str, lines: list[str]) -> Path:
    folder = corpus / chapter
    folder.mkdir(parents=True)
    name = "-".join(Path(chapter).parts[1:])
    (folder / f"{name}.trans.txt").write_text("".join(f"{line}\n" for line in lines))
    for line in lines:
        soundfile.write(folder / f"{line.split()[0]}.flac", np.zeros(160, np.int16), 16000)
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for chapter, lines in LINES.items():
        add_chapter(tmp_path / "LibriSpeech", chapter, lines)
    return tmp_path / "LibriSpeech"


def test_set_names_say_their_parts():
    assert librispeech.parts_of("train_960") == (
        "train-clean-100",
        "train-clean-360",
        "train-other-500",
    )
    assert librispeech.parts_of("test_other") == ("test-other",)
    names = [*librispeech.SETS, "train_clean_5", "dev_clean_2"]
    parts = {part for name in names for part in librispeech.parts_of(name)}
    assert parts <= set(librispeech.MD5)


def test_lists_of_a_set(corpus, tmp_path):
    librispeech.prepare(corpus, ["dev_clean", "dev"], tmp_path / "data")
    data = DataDir.read(tmp_path / "data" / "dev_clean")
    assert data.text == {"84-12-0000": "GO ON", "84-12-0001": "AND ON", "9-7-0000": "NINE"}
    assert data.utt2spk == {"84-12-0000": "84", "84-12-0001": "84", "9-7-0000": "9"}
    assert data.wav["9-7-0000"] == str(corpus / "dev-clean/9/7/9-7-0000.flac")
    spk2utt = read_scp(tmp_path / "data" / "dev_clean" / "spk2utt")
    assert spk2utt == {"84": "84-12-0000 84-12-0001", "9": "9-7-0000"}
    assert "11-1-0000" in DataDir.read(tmp_path / "data" / "dev").wav


def test_folder_above_is_taken_too(corpus):
    assert librispeech.prepare_set(corpus.parent, ["dev-other"]).wav == {
        "11-1-0000": str(corpus / "dev-other/11/1/11-1-0000.flac")
    }


def test_bad_corpora_are_said_in_one_sentence(corpus, tmp_path):
    def said(parts=("dev-clean",), root=corpus):
        with pytest.raises(DataError) as error:
            librispeech.prepare_set(root, list(parts))
        return str(error.value)

    assert "no folder 'test-clean'" in said(["test-clean"])
    assert "found dev-clean, dev-clean-2, dev-other" in said(["test-clean"])
    assert "no part of it" in said(root=tmp_path / "nowhere")
    assert "84-12-0000 is there twice" in said(["dev-clean", "dev-clean"])
    (corpus / "test-other").mkdir()
    assert "test-other): the set has no utterances" in said(["test-other"])

    transcripts = corpus / "dev-clean/84/12/84-12.trans.txt"
    transcripts.write_text("84-12-0000 GO ON\n84-12-0001\n")
    assert "84-12.trans.txt:2: '84-12-0001' has no words" in said()
    transcripts.write_text("84-12-0000 GO ON\n84-12-0000 GO ON\n")
    assert "84-12.trans.txt:2: utterance id '84-12-0000' is there twice" in said()
    transcripts.write_text("84-12-0000 GO ON\n")
    assert "84-12-0001 has no transcript" in said()
    transcripts.write_bytes(b"84-12-0000 \xff\n")
    assert "84-12.trans.txt: the transcripts cannot be read" in said()
    transcripts.unlink()
    assert "84-12.trans.txt: the transcripts cannot be read" in said()
    (corpus / "dev-clean/9/7/9-7-0000.flac").unlink()
    shutil.rmtree(corpus / "dev-clean/84")
    assert "9-7-0000 has no audio file" in said()


def test_the_two_corpora_have_their_own_addresses():
    assert librispeech.url_of("dev-clean").endswith("openslr.org/resources/12/dev-clean.tar.gz")
    for part in librispeech.MINI_PARTS:
        assert librispeech.url_of(part).endswith(f"openslr.org/resources/31/{part}.tar.gz")
        assert librispeech.url_of(part, "http://m/a/") == f"http://m/a/{part}.tar.gz"


@pytest.fixture
def mirror(corpus, tmp_path, monkeypatch):
    """Yield (address, md5 of each archive, requests) of a server of some dev-*.tar.gz."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "mirror"
    folder.mkdir()
    for part in ("dev-clean", "dev-clean-2", "dev-other"):
        with tarfile.open(folder / f"{part}.tar.gz", "w:gz") as tar:
            tar.add(corpus / part, f"LibriSpeech/{part}")
    md5 = {
        path.name.removesuffix(".tar.gz"): hashlib.md5(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
    }
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            asked.append(self.path)

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", md5, asked
        server.shutdown()
        thread.join()


def test_downloads_what_is_not_there(mirror, tmp_path):
    url, md5, asked = mirror
    for _ in range(2):
        root = librispeech.download_parts(["dev-clean", "dev-other"], tmp_path / "dl", url, md5)
        assert sorted(path.name for path in root.parent.iterdir()) == ["LibriSpeech"]
        assert len(librispeech.prepare_set(root, ["dev-clean", "dev-other"]).wav) == 4
    assert len(asked) == 2
    with pytest.raises(DataError, match="no part 'dev-noisy'; its parts are dev-"):
        librispeech.download_parts(["dev-noisy"], tmp_path / "dl", url, md5)


def test_two_calls_download_once(mirror, tmp_path, monkeypatch):
    """The second one begins while the first unpacks, and finds the work done."""
    url, md5, asked = mirror
    extract, unpacked = librispeech.extract_tar, []

    def slow(archive, member, destination):
        unpacked.append(member)
        time.sleep(0.3)
        return extract(archive, member, destination)

    monkeypatch.setattr(librispeech, "extract_tar", slow)
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        calls = [
            threads.submit(librispeech.download_parts, ["dev-clean"], tmp_path / "dl", url, md5)
            for _ in range(2)
        ]
        (root,) = {call.result() for call in calls}
    assert len(asked) == len(unpacked) == 1
    assert sorted(path.name for path in root.parent.iterdir()) == ["LibriSpeech"]


def test_command_downloads_where_no_corpus_is_given(mirror, tmp_path, monkeypatch):
    url, md5, _ = mirror
    for part, checksum in md5.items():
        monkeypatch.setitem(librispeech.MD5, part, checksum)
    options = ["--base_url", url, "--out_dir", str(tmp_path / "data")]
    options += ["--download_dir", str(tmp_path / "dl"), "--corpus", ""]
    sets = ["dev_clean", "dev_clean_2", "dev_other", "dev_clean"]
    prepare_librispeech.main([*options, "--sets", *sets])
    assert len(DataDir.read(tmp_path / "data" / "dev_clean").wav) == 3
    mini = DataDir.read(tmp_path / "data" / "dev_clean_2")
    assert mini.text == {"13-5-0000": "THIRTEEN"}
    assert mini.wav["13-5-0000"].endswith("dl/LibriSpeech/dev-clean-2/13/5/13-5-0000.flac")


def test_command_ends_in_one_sentence(corpus, capsys):
    with pytest.raises(SystemExit) as end:
        prepare_librispeech.main(["--corpus", str(corpus), "--sets", "test_clean"])
    assert "error: " in str(end.value.code) and "'test-clean'" in str(end.value.code)


def test_stand_in_through_the_recipe(shared, tmp_path):
    """The recipe's own local/data.sh, run as the template runs it."""
    corpus = shared / "data" / "LibriSpeech"
    if not corpus.is_dir():
        pytest.skip("../shared/data/LibriSpeech is not there")
    root = Path(__file__).resolve().parents[2]
    recipe = tmp_path / "egs2/librispeech/codec1"
    shutil.copytree(root / "egs2/librispeech/codec1", recipe, symlinks=True,
                    ignore=shutil.ignore_patterns("data", "dump", "exp", "downloads"))  # fmt: skip
    (tmp_path / "tools").symlink_to(root / "tools")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": str(root),
        "LIBRISPEECH": str(corpus),
    }
    sets = ["--train_set", "train_clean_100", "--valid_set", "dev_clean"]
    subprocess.run(
        ["local/data.sh", *sets, "--test-sets", "test_clean"],
        cwd=recipe, env=environment, check=True, capture_output=True,
    )  # fmt: skip
    sizes = {"train_clean_100": 240, "dev_clean": 36, "test_clean": 101}
    for name, size in sizes.items():
        data = DataDir.read(recipe / "data" / name)
        assert len(data.wav) == size
        assert all(Path(path).is_file() for path in data.wav.values())
    assert data.utt2spk["9301-930100-0000"] == "9301"

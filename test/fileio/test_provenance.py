"""What made a folder: fingerprints of content, the same bytes for the same work."""

import subprocess

import kaldiio
import numpy as np
import pytest
import soundfile
import yaml

from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio import provenance
from espnet_stacodec.fileio.provenance import Provenance, fingerprint_places, git_revision


def write_audio(folder, value=100):
    folder.mkdir()
    samples = np.full(1000, value, np.int16)
    samples[::7] = -value
    for ending in ("flac", "wav"):
        soundfile.write(folder / f"a.{ending}", samples, 16000, "PCM_16")
    with kaldiio.WriteHelper(f"ark,scp:{folder}/a.ark,{folder}/a.scp") as writer:
        writer("utt", samples.astype(np.int32))
    return {"flac": f"{folder}/a.flac", "wav": f"{folder}/a.wav", "ark": f"{folder}/a.ark:4"}


@pytest.mark.parametrize("kind", ["flac", "wav", "ark"])
def test_a_fingerprint_is_of_the_content_wherever_it_lies(kind, tmp_path):
    one, same, other = (
        write_audio(tmp_path / name, value)[kind]
        for name, value in zip("abc", (1, 1, 2), strict=True)
    )
    assert fingerprint_places({"utt": one}) == fingerprint_places({"utt": same})
    assert fingerprint_places({"utt": one}) != fingerprint_places({"utt": other})
    assert fingerprint_places({"utt": one}) != fingerprint_places({"another": one})


def test_a_large_file_counts_with_its_size_and_both_ends(tmp_path):
    path = tmp_path / "large.mp3"
    seen = set()
    for first, size, last in ((0, 200_000, 0), (1, 200_000, 0), (0, 200_001, 0), (0, 200_000, 1)):
        path.write_bytes(bytes([first]) + bytes(size - 2) + bytes([last]))
        seen.add(fingerprint_places({"utt": str(path)}))
    assert len(seen) == 4


def test_commands_count_as_text_and_missing_files_are_named(tmp_path):
    assert fingerprint_places({"utt": "sox a |"}) != fingerprint_places({"utt": "sox b |"})
    with pytest.raises(DataError, match=r"utt: .*gone\.wav cannot be read \(No such file"):
        fingerprint_places({"utt": f"{tmp_path}/gone.wav"})


def test_the_same_work_leaves_the_same_bytes(tmp_path):
    places = {"utt": write_audio(tmp_path / "raw")["flac"]}
    for name in ("a", "b"):
        made = Provenance("test", {"path": tmp_path, "k": 4}, {"audio": places, "codec": "x"}, 7)
        made.write(tmp_path / name)
    one, other = (tmp_path / name / "provenance.yaml" for name in "ab")
    assert one.read_bytes() == other.read_bytes()
    content = yaml.safe_load(one.read_text())
    assert content["made_by"] == "test" and content["seed"] == 7
    assert content["configuration"] == {"path": str(tmp_path), "k": 4}
    assert content["data"] == {"audio": fingerprint_places(places), "codec": "x"}
    assert content["versions"]["torch"][0].isdigit()
    assert content["git_revision"] == git_revision()


def test_a_complete_folder_keeps_what_made_it(tmp_path):
    made = Provenance("test", {"k": 1}, {})
    made.write_before(tmp_path / "final")
    (tmp_path / "final").touch()
    Provenance("test", {"k": 2}, {}).write_before(tmp_path / "final")
    content = yaml.safe_load((tmp_path / "provenance.yaml").read_text())
    assert content["configuration"] == {"k": 1}


def test_a_training_keeps_what_made_its_earlier_epochs(tmp_path):
    for k in (1, 1, 2, 3):
        Provenance("test", {"k": k}, {}).write(tmp_path, keep_earlier=True)
    content = yaml.safe_load((tmp_path / "provenance.yaml").read_text())
    assert content["configuration"] == {"k": 3}
    assert content["earlier"] == [{"configuration": {"k": 1}}, {"configuration": {"k": 2}}]


def test_the_revision_is_that_of_the_source(tmp_path, monkeypatch):
    def git(*words):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True)

    monkeypatch.setattr(provenance, "PACKAGE", tmp_path / "package")
    git_revision.cache_clear()
    try:
        revision = git_revision()
        assert revision.startswith("not known (") or len(revision) == 40  # installed by pip
        git("init")
        (tmp_path / "file").write_text("a")
        git("add", "file")
        git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-m", "a")
        git_revision.cache_clear()
        clean = git_revision()
        assert len(clean) == 40
        (tmp_path / "file").write_text("b")
        git_revision.cache_clear()
        assert git_revision() == f"{clean}-dirty"
    finally:
        git_revision.cache_clear()

"""Integer vectors, shard by shard."""

import kaldiio
import numpy as np
import pytest

from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio import arks, parts
from espnet_stacodec.fileio.files import read_scp


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(parts, "PART_ITEMS", 2)


UTTERANCES = {f"utt{i}": i for i in range(5)}


class Compute:
    """Vectors that say which utterance they are of; keeps count, and fails at one if told to."""

    def __init__(self, fail_at: str | None = None) -> None:
        self.done: list[str] = []
        self.fail_at = fail_at

    def __call__(self, utt_ids):
        for utt_id in utt_ids:
            if utt_id == self.fail_at:
                raise RuntimeError("interrupted")
            self.done.append(utt_id)
            yield np.array([int(utt_id.removeprefix("utt")), 7])


def read(scp):
    return {utt: kaldiio.load_mat(place).tolist() for utt, place in read_scp(scp).items()}


def test_all_vectors_are_written(tmp_path):
    arks.write_arks(tmp_path / "x.scp", UTTERANCES, "key", Compute())
    assert read(tmp_path / "x.scp") == {utt: [i, 7] for utt, i in UTTERANCES.items()}
    assert kaldiio.load_mat(read_scp(tmp_path / "x.scp")["utt0"]).dtype == np.int32


def test_an_interrupted_run_keeps_its_whole_parts(tmp_path):
    scp = tmp_path / "x.scp"
    with pytest.raises(RuntimeError):
        arks.write_arks(scp, UTTERANCES, "key", Compute(fail_at="utt3"))
    assert not scp.exists()
    rest = Compute()
    arks.write_arks(scp, UTTERANCES, "key", rest)
    assert rest.done == ["utt2", "utt3", "utt4"]
    assert read(scp) == {utt: [i, 7] for utt, i in UTTERANCES.items()}


def test_only_what_changed_is_made_anew(tmp_path):
    scp = tmp_path / "x.scp"
    arks.write_arks(scp, UTTERANCES, "key", Compute())
    same, changed, other_key = Compute(), Compute(), Compute()
    arks.write_arks(scp, UTTERANCES, "key", same)
    assert same.done == []
    arks.write_arks(scp, UTTERANCES | {"utt2": 99}, "key", changed)
    assert changed.done == ["utt2", "utt3"]
    arks.write_arks(scp, UTTERANCES, "other", other_key)
    assert other_key.done == list(UTTERANCES)


def test_a_shorter_list_leaves_nothing_behind(tmp_path):
    scp = tmp_path / "x.scp"
    arks.write_arks(scp, UTTERANCES, "key", Compute())
    arks.write_arks(scp, {"utt0": 0}, "key", Compute())
    assert read(scp) == {"utt0": [0, 7]}
    assert sorted(path.name for path in tmp_path.glob("*.ark")) == ["x.1.ark"]


def test_an_ark_that_is_gone_is_made_again(tmp_path):
    scp = tmp_path / "x.scp"
    arks.write_arks(scp, UTTERANCES, "key", Compute())
    (tmp_path / "x.2.ark").unlink()
    again = Compute()
    arks.write_arks(scp, UTTERANCES, "key", again)
    assert again.done == ["utt2", "utt3"]
    assert read(scp) == {utt: [i, 7] for utt, i in UTTERANCES.items()}


@pytest.mark.parametrize("cut", [1, 10, 17])
def test_an_ark_that_was_cut_off_is_said_and_made_again(tmp_path, cut):
    scp = tmp_path / "x.scp"
    arks.write_arks(scp, UTTERANCES, "key", Compute())
    ark = tmp_path / "x.2.ark"
    ark.write_bytes(ark.read_bytes()[:-cut])
    place = read_scp(scp)["utt3"]
    message = rf"^tokens cannot be read from {place} \(the file is cut off, or no ark\); do it\.$"
    with pytest.raises(DataError, match=message):
        arks.read_ark(place, "tokens", "do it")
    again = Compute()
    arks.write_arks(scp, UTTERANCES, "key", again)
    assert again.done == ["utt2", "utt3"]
    assert read(scp) == {utt: [i, 7] for utt, i in UTTERANCES.items()}


def test_an_ark_that_is_gone_is_said(tmp_path):
    with pytest.raises(DataError, match=r"x.ark:3 \(No such file or directory\); do it\.$"):
        arks.read_ark(f"{tmp_path}/x.ark:3", "tokens", "do it")


def test_a_list_is_there_only_where_all_is_whole(tmp_path):
    scp = tmp_path / "x.scp"
    arks.write_arks(scp, UTTERANCES, "key", Compute())
    with pytest.raises(RuntimeError):
        arks.write_arks(scp, UTTERANCES, "other", Compute(fail_at="utt0"))
    assert not scp.exists()

"""Parts that are kept under their content."""

import json

import pytest

from espnet_stacodec.fileio.files import write_text
from espnet_stacodec.fileio.parts import Parts, cut

ITEMS = {f"utt{number}": number for number in range(5)}


class Squares:
    """Computes squares; keeps count, and fails at one item if told to."""

    def __init__(self, fail_at: str | None = None) -> None:
        self.done: list[str] = []
        self.fail_at = fail_at

    def __call__(self, ids):
        for item in ids:
            if item == self.fail_at:
                raise RuntimeError("interrupted")
            self.done.append(item)
            yield ITEMS[item] ** 2


def save(part, results):
    write_text(part.path, json.dumps(results))


def complete(folder, items=ITEMS, made_with="key", compute=None):
    """Return what was computed, and the results of all parts."""
    parts = Parts(folder / "x.jsonl", cut(items, 2), made_with, "json")
    compute = compute or Squares()
    parts.complete(compute, save)
    return compute.done, [json.loads(part.path.read_text()) for part in parts]


RESULTS = [[0, 1], [4, 9], [16]]


def test_all_is_computed_once(tmp_path):
    assert complete(tmp_path) == (list(ITEMS), RESULTS)
    assert complete(tmp_path) == ([], RESULTS)


def test_whole_parts_of_an_interrupted_call_are_kept(tmp_path):
    with pytest.raises(RuntimeError):
        complete(tmp_path, compute=Squares(fail_at="utt3"))
    assert complete(tmp_path) == (["utt2", "utt3", "utt4"], RESULTS)


@pytest.mark.parametrize(
    ("items", "done"),
    [
        (ITEMS | {"utt2": 9}, ["utt2", "utt3"]),
        ({"utt1": 1, "utt0": 0}, ["utt1", "utt0"]),  # the order counts
        ({"utt0": 0, "utt1": 1}, []),
        ({"utt1": 1, "utt2": 2, "utt3": 3, "utt4": 4}, ["utt1", "utt2", "utt3", "utt4"]),
    ],
)
def test_only_what_changed_is_computed(tmp_path, items, done):
    complete(tmp_path)
    assert complete(tmp_path, items)[0] == done
    # Nothing of the list before is left.
    assert len(list(tmp_path.glob(".x.*.json"))) == -(-len(items) // 2)


def test_another_way_of_computing_computes_all(tmp_path):
    complete(tmp_path)
    assert complete(tmp_path, made_with=["other", None])[0] == list(ITEMS)


def test_an_interrupted_change_leaves_nothing_of_before(tmp_path):
    """Files with one name for all keys may have been written over when it was interrupted."""
    complete(tmp_path)
    write_text(tmp_path / "x.jsonl", "all")
    with pytest.raises(RuntimeError):
        complete(tmp_path, made_with="other", compute=Squares(fail_at="utt0"))
    assert list(tmp_path.iterdir()) == []
    assert complete(tmp_path)[0] == list(ITEMS)


def test_parts_of_other_files_are_left_alone(tmp_path):
    for name in (".y.1.0123456789abcdef.json", ".x.y.1.0123456789abcdef.json", ".x.1.0123.npy"):
        (tmp_path / name).touch()
    complete(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3 + 3


def test_the_final_file_stays_where_nothing_is_missing(tmp_path):
    complete(tmp_path)
    write_text(tmp_path / "x.jsonl", "all")
    complete(tmp_path)
    assert (tmp_path / "x.jsonl").read_text() == "all"

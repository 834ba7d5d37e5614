"""Work on a cluster: two Dask workers of this machine."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_work import deadly, folder, slow_at_first, squared

from espnet_stacodec.errors import ConfigError, DataError, StageError
from espnet_stacodec.parallel import Workers, dispatch


@pytest.fixture(scope="module")
def workers(tmp_path_factory) -> Iterator[Workers]:
    config = tmp_path_factory.mktemp("conf") / "local.yaml"
    config.write_text("env: local\nn_workers: 2\nstart_timeout: 300\n")
    with Workers(1, cluster=config) as workers:
        yield workers


def test_a_value_that_dask_cannot_read_is_named(tmp_path):
    config = tmp_path / "local.yaml"
    config.write_text("env: local\noptions: {memory_limit: lots}\n")
    message = r"local.yaml: .* \(Could not interpret 'lots' as a byte unit\); change its options"
    with pytest.raises(ConfigError, match=message), Workers(2, cluster=config) as workers:
        list(workers.map(squared, [1], "squares"))


def test_results_come_in_order_from_elsewhere(workers):
    assert workers.num_jobs == 2
    results = list(workers.map(squared, list(range(300)), "squares"))
    assert [result for result, _ in results] == [item * item for item in range(300)]
    pids = {pid for _, pid in results}
    again = {pid for _, pid in workers.map(squared, list(range(300)), "squares")}
    assert os.getpid() not in pids | again and len(pids | again) <= 2  # started once
    # A single item, too: this machine may lack what the others have.
    ((result, pid),) = workers.map(squared, [3], "squares")
    assert result == 9 and pid != os.getpid()
    assert list(workers.map(squared, [], "squares")) == []


def test_an_error_arrives_as_it_is_when_its_item_is_due(workers):
    results = workers.map(squared, [1, 2, 3, -4, 5, -6], "squares")
    found = []
    with pytest.raises(DataError) as error:
        for result, _ in results:
            found.append(result)
    assert found == [1, 4, 9] and str(error.value) == "-4 is negative"
    assert "in squared" in error.value.__notes__[0]  # where it was raised, for --debug
    assert [result for result, _ in workers.map(squared, [6], "squares")] == [36]


class Watched(list[int]):
    """Notes how far it was read."""

    furthest = -1

    def __getitem__(self, index):
        self.furthest = max(self.furthest, index)
        return super().__getitem__(index)


def test_what_is_under_way_is_bounded(workers, monkeypatch):
    monkeypatch.setattr(dispatch, "WINDOW", 3)
    monkeypatch.setattr(dispatch, "TASK_ITEMS", 5)
    items = Watched(range(400))
    results = workers.map(slow_at_first, items, "items")
    assert next(results) == 0
    # The other worker did what may wait for the first item, and no more.
    assert 3 <= items.furthest <= 2 * 3 * 5
    assert list(results) == list(range(1, 400))


def test_workers_are_where_the_command_is(workers):
    assert set(workers.map(folder, [1, 2, 3, 4], "cwd")) == {str(Path.cwd())}


def test_a_part_is_done_again_where_its_worker_ended(workers, tmp_path, caplog):
    names = ["a", "once", "b", "c"]
    items = [(name, tmp_path) for name in names]
    assert list(workers.map(deadly, items, "names", names=names)) == names
    assert "names: a worker has ended; its part (once) is done again" in caplog.text

    items[1] = ("always", tmp_path)
    names[1] = "utt1"
    results = workers.map(deadly, items, "names", names=names)
    assert next(results) == "a"
    sentence = "^names: 3 workers ended while they worked on utt1, perhaps for lack of memory"
    with pytest.raises(StageError, match=sentence):
        next(results)
    assert (tmp_path / "always").read_text() == "xxx"

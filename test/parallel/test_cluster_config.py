"""Files of --parallel."""

import importlib.util
from pathlib import Path

import pytest
import yaml

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.parallel.cluster_config import ENVIRONMENTS, START_TIMEOUT, ClusterConfig

SHIPPED = Path(__file__).parents[2] / "egs2" / "TEMPLATE" / "codec1" / "conf" / "parallel"


@pytest.fixture
def everything_is_here(tmp_path, monkeypatch):
    """Commands that submit jobs, and packages of the extras."""
    for command in filter(None, ENVIRONMENTS.values()):
        (tmp_path / command).write_text("#!/bin/sh\n")
        (tmp_path / command).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


def written(tmp_path: Path, **content: object) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("name", ["local", "local_gpu", "slurm", "pbs", "ssh"])
def test_files_that_are_shipped_can_be_read(name, everything_is_here):
    config = ClusterConfig.read(SHIPPED / f"{name}.yaml", 8)
    assert config.env == name
    assert config.num_workers == (2 if name == "ssh" else 8)  # three hosts
    assert config.submits_jobs == (name in ("slurm", "pbs"))
    assert config.logs.endswith("logs/parallel" if config.submits_jobs else "the lines above")


def test_one_thread_for_each_worker_unless_said_otherwise(tmp_path):
    config = ClusterConfig.read(written(tmp_path, env="local"), 3)
    assert (config.num_workers, config.start_timeout) == (3, START_TIMEOUT)
    assert config.options["threads_per_worker"] == 1
    options = {"threads_per_worker": 2}
    config = ClusterConfig.read(written(tmp_path, env="local", n_workers=5, options=options), 3)
    assert config.num_workers == 5 and config.options["threads_per_worker"] == 2


def test_options_leave_the_defaults_beside_them(tmp_path, everything_is_here):
    options = {"hosts": ["a", "b", "c"], "worker_options": {"memory_limit": "4GB"}}
    config = ClusterConfig.read(written(tmp_path, env="ssh", options=options), 8)
    assert config.options["worker_options"] == {"nthreads": 1, "memory_limit": "4GB"}
    options = {"scheduler_options": {"port": 8786}}
    config = ClusterConfig.read(written(tmp_path, env="slurm", options=options), 8)
    assert config.options["scheduler_options"] == {"port": 8786, "dashboard_address": ":0"}
    config = ClusterConfig.read(written(tmp_path, env="kube", options={"image": "here:1"}), 8)
    assert config.options["worker_command"] == ["dask", "worker", "--nthreads", "1"]


def test_hosts_say_how_many_workers_there_are(tmp_path, everything_is_here):
    hosts = ["first", "a", "b", "a"]
    for more, number in ({}, 3), ({"worker_options": {"n_workers": 2}}, 6):
        options = {"hosts": hosts} | more
        for given in {}, {"n_workers": number}:
            path = written(tmp_path, env="ssh", options=options, **given)
            assert ClusterConfig.read(path, 8).num_workers == number


HOSTS = [
    ({"n_workers": 8, "options": {"hosts": ["a", "b", "c"]}},
     "n_workers 8 does not go with 3 hosts, .*: they make 2 workers; leave n_workers out"),
    ({"n_workers": 1, "options": {"hosts": ["a", "b", "c"]}}, "n_workers 1 does not go with 3"),
    ({"options": {"hosts": ["a"]}}, r"hosts must list two or more, .* not \['a'\]"),
    ({}, "hosts must list two or more, .* not None"),
    ({"options": {"hosts": ["a", "b"], "worker_options": {"n_workers": "2"}}},
     "n_workers of worker_options, those of a host, is 1 or more, not '2'"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), HOSTS, ids=lambda value: str(value)[:30])
def test_hosts_that_do_not_do(tmp_path, everything_is_here, content, message):
    with pytest.raises(ConfigError, match=message):
        ClusterConfig.read(written(tmp_path, env="ssh", **content), 8)


ERRORS = [
    ({"env": "slrum"}, "cluster.yaml: env 'slrum' is unknown; known are local, local_gpu, slurm"),
    ({}, "env 'None' is unknown"),
    ({"env": "local", "workers": 2}, "unknown key workers; known are env, n_workers, options"),
    ({"env": "local", "n_workers": 0}, "n_workers 0 is invalid; it must be 1 or more"),
    ({"env": "local", "n_workers": "two"}, "n_workers is a whole number, not 'two'"),
    ({"env": "local", "options": [1]}, "options are `key: value` lines, not"),
    ({"env": "local", "start_timeout": "1h"}, "start_timeout is a number of seconds, not '1h'"),
    ({"env": "slurm"}, "submits jobs with sbatch, which is not on the PATH here"),
    ({"env": "kube"}, "env 'kube' needs dask_kubernetes, .* install the extra 'kube'"),
]


@pytest.mark.parametrize(("content", "message"), ERRORS, ids=lambda value: str(value)[:30])
def test_files_that_cannot_be_used(tmp_path, monkeypatch, content, message):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=message):
        ClusterConfig.read(written(tmp_path, **content), 2)
    with pytest.raises(ConfigError, match="cannot be read"):
        ClusterConfig.read(tmp_path / "none.yaml", 2)

"""Clusters that are made here rather than by ESPnet: pods, and hosts that ssh reaches."""

import inspect
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import ssh_stand_in
import yaml
from cluster_work import squared
from distributed import LocalCluster
from distributed.cli import dask_scheduler, dask_worker

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.parallel import Workers, clients, cluster_config
from espnet_stacodec.parallel.cluster_config import ClusterConfig


def written(tmp_path: Path, env: str, **content: object) -> Path:
    path = tmp_path / f"{env}.yaml"
    path.write_text(yaml.safe_dump({"env": env} | content))
    return path


class Pods(LocalCluster):
    """Stands in for the operator's cluster: threads of this process, and what it was asked for."""

    asked: dict[str, Any]
    sizes: list[int]

    def __init__(self, **options: Any) -> None:
        type(self).asked, type(self).sizes = options, []
        if "refused" in options.get("namespace", ""):
            raise Forbidden
        super().__init__(n_workers=0, processes=False, dashboard_address=None)

    def scale(self, n=0, memory=None, cores=None) -> None:
        self.sizes.append(n)
        super().scale(n)


class Forbidden(Exception):
    """As those of the packages that start workers: of a class of its own, and without words."""


@pytest.fixture
def operator(monkeypatch) -> None:
    """A module as dask-kubernetes has it, whose package exports nothing."""

    def make_cluster_spec(
        name: str, n_workers: int, worker_command: list[str], **pods: Any
    ) -> dict:
        scheduler = {"args": ["dask-scheduler", "--host", "0.0.0.0"]}
        worker = {"args": [*worker_command, "--name", "x"]} | pods
        return {
            "metadata": {"name": name},
            "spec": {
                "scheduler": {"spec": {"containers": [scheduler]}},
                "worker": {"replicas": n_workers, "spec": {"containers": [worker]}},
            },
        }

    module: Any = ModuleType("dask_kubernetes.operator")
    module.KubeCluster, module.make_cluster_spec = Pods, make_cluster_spec
    monkeypatch.setitem(sys.modules, "dask_kubernetes", ModuleType("dask_kubernetes"))
    monkeypatch.setitem(sys.modules, "dask_kubernetes.operator", module)
    monkeypatch.setattr(cluster_config.importlib.util, "find_spec", lambda name: name)


def test_pods_of_the_operator_do_the_work(operator, tmp_path):
    """With one thread each, and by commands that Dask still has."""
    path = written(tmp_path, "kube", options={"image": "stacodec:1", "namespace": "speech"})
    with Workers(2, cluster=path) as workers:
        assert [result for result, _ in workers.map(squared, [1, 2, 3], "squares")] == [1, 4, 9]
    asked, made = Pods.asked, Pods.asked["custom_cluster_spec"]
    assert asked == {"namespace": "speech", "quiet": True, "custom_cluster_spec": made}
    assert Pods.sizes[0] == 2 and made["spec"]["worker"]["replicas"] == 2
    (worker,) = made["spec"]["worker"]["spec"]["containers"]
    assert worker["args"][:4] == ["dask", "worker", "--nthreads", "1"]
    assert worker["image"] == "stacodec:1"
    (scheduler,) = made["spec"]["scheduler"]["spec"]["containers"]
    assert scheduler["args"] == ["dask", "scheduler", "--host", "0.0.0.0"]


def test_a_specification_of_ones_own_is_kept(operator, tmp_path):
    path = written(tmp_path, "kube", options={"custom_cluster_spec": "pods.yaml"})
    with Workers(1, cluster=path) as workers:
        assert [result for result, _ in workers.map(squared, [4], "squares")] == [16]
    assert Pods.asked == {"custom_cluster_spec": "pods.yaml", "quiet": True}
    assert Pods.sizes[0] == 1


def test_pods_that_are_refused_are_a_sentence(operator, tmp_path):
    path = written(tmp_path, "kube", options={"namespace": "refused"})
    message = r"kube.yaml: a cluster 'kube' cannot be started \(Forbidden\); change its options"
    with pytest.raises(ConfigError, match=message), Workers(1, cluster=path) as workers:
        list(workers.map(squared, [1], "squares"))


@pytest.fixture
def hosts(monkeypatch) -> None:
    """Hosts that ssh reaches; what is started there finds this folder."""
    monkeypatch.setitem(sys.modules, "asyncssh", ssh_stand_in)
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr(cluster_config.importlib.util, "find_spec", lambda name: name)


def test_each_host_but_the_first_has_a_worker(hosts, tmp_path):
    """Also with options of options, which are to be dictionaries."""
    options = {
        "hosts": ["first", "second", "third"],
        "connect_options": {"username": "me"},
        "worker_options": {"resources": {"memory": 4}},
    }
    with Workers(8, cluster=written(tmp_path, "ssh", options=options)) as workers:
        results = list(workers.map(squared, list(range(40)), "squares"))
        assert [result for result, _ in results] == [item * item for item in range(40)]
        engine: Any = workers._engine
        engine.client.wait_for_workers(2, timeout=60)
        engine.ask_again()
        assert workers.num_jobs == 2 and list(engine.slots().values()) == [1, 1]
        assert os.getpid() not in {pid for _, pid in results}


@pytest.mark.parametrize("options", [
    {"hosts": ["closed", "second"]},
    {"hosts": ["first", "second", "closed"]},
    {"hosts": ["first", "second"], "connect_options": {"username": "stranger"}},
])  # fmt: skip
def test_a_refused_login_is_a_sentence(hosts, tmp_path, options):
    path = written(tmp_path, "ssh", options=options)
    message = r"^ssh.yaml: a cluster 'ssh' cannot be started \(.*Permission denied .*\); change its"
    with pytest.raises(ConfigError) as error, Workers(1, cluster=path) as workers:
        list(workers.map(squared, [1], "squares"))
    assert re.match(message, str(error.value).removeprefix(f"{tmp_path}/"))


def test_what_is_asked_of_dask_kubernetes_is_there():
    """Its cluster takes our options; the commands of the pods can be read by Dask as it is here."""
    operator = pytest.importorskip("dask_kubernetes.operator")
    config = ClusterConfig(Path("kube.yaml"), "kube", 3, dict(cluster_config.PODS))
    options = clients._with_specification(operator, config)
    inspect.signature(operator.KubeCluster).bind(**options)
    made = options["custom_cluster_spec"]["spec"]
    assert made["worker"]["replicas"] == 3
    commands = (("scheduler", dask_scheduler.main), ("worker", dask_worker.main))
    for role, command in commands:
        (container,) = made[role]["spec"]["containers"]
        assert container["args"][:2] == ["dask", role]
        parsed = command.make_context(role, list(container["args"][2:])).params
        assert role == "scheduler" or parsed["nthreads"] == 1

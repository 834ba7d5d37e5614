"""The Dask client of a cluster: ESPnet's, or one that is made here where ESPnet's does not work."""

import contextlib
import importlib
import uuid
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from distributed import Client, SSHCluster
from espnet3.parallel.parallel import get_client
from omegaconf import OmegaConf

from espnet_stacodec.parallel.cluster_config import ClusterConfig

# Options of KubeCluster that only describe the pods.
OF_PODS = (
    "env",
    "idle_timeout",
    "image",
    "jupyter",
    "resources",
    "scheduler_service_type",
    "worker_command",
)


def client_of(config: ClusterConfig) -> contextlib.AbstractContextManager[Client]:
    """Return a context manager: a new cluster's client, and the end of both.

    What it raises where the cluster cannot start is of Dask's classes, or of its packages'.
    """
    if config.env == "kube":
        return _on_kubernetes(config)
    if config.env == "ssh":
        return _on_hosts(config)
    described = {"env": config.env, "n_workers": config.num_workers, "options": config.options}
    return get_client(OmegaConf.create(described))


@contextlib.contextmanager
def _on_kubernetes(config: ClusterConfig) -> Iterator[Client]:
    """Make the operator's cluster: ESPnet asks for one that dask-kubernetes has no longer."""
    operator = importlib.import_module("dask_kubernetes.operator")
    made = operator.KubeCluster(**_with_specification(operator, config))
    with contextlib.closing(made) as cluster:
        # A specification in the options has a number of its own.
        cluster.scale(config.num_workers)
        with Client(cluster) as client:
            yield client


def _with_specification(operator: ModuleType, config: ClusterConfig) -> dict[str, Any]:
    """Return the options with a specification of all pods, where they have none.

    dask-kubernetes starts schedulers with a command that Dask has removed in 2026.6.
    """
    options = dict(config.options)
    pods = {name: options.pop(name) for name in OF_PODS if name in options}
    if "custom_cluster_spec" in options:
        return options
    name = options.pop("name", f"stacodec-{uuid.uuid4().hex[:10]}")
    made = operator.make_cluster_spec(name=name, n_workers=config.num_workers, **pods)
    for container in made["spec"]["scheduler"]["spec"]["containers"]:
        if container["args"][0] == "dask-scheduler":
            container["args"][:1] = ["dask", "scheduler"]
    return options | {"custom_cluster_spec": made}


@contextlib.contextmanager
def _on_hosts(config: ClusterConfig) -> Iterator[Client]:
    """Make a cluster of all hosts: ESPnet hands Dask options that are no dictionaries."""
    with contextlib.closing(SSHCluster(**config.options)) as cluster, Client(cluster) as client:
        yield client

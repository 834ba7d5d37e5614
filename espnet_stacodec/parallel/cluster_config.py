"""The YAML files of --parallel: which cluster, in the form of ESPnet's Dask layer."""

import dataclasses
import importlib.util
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dask.config

from espnet_stacodec.config import check_keys, choose, load_yaml, whole_number
from espnet_stacodec.errors import ConfigError

START_TIMEOUT = 1800.0  # s
# Where workers run -> the command that submits them; None where nothing is submitted.
ENVIRONMENTS: Mapping[str, str | None] = {
    "local": None,
    "local_gpu": None,
    "slurm": "sbatch",
    "pbs": "qsub",
    "sge": "qsub",
    "lsf": "bsub",
    "oar": "oarsub",
    "moab": "msub",
    "htcondor": "condor_submit",
    "ssh": None,
    "kube": None,
}
# What the environments need that is not installed with this package: module and extra.
EXTRAS = {"ssh": "asyncssh", "kube": "dask_kubernetes", "local_gpu": "dask_cuda"}
# Of Dask's clusters on one machine: no page of a browser, no share of the memory that ends a
# worker, and one task at a time, as in our own processes.
ONE_MACHINE = {
    "dashboard_address": None,
    "threads_per_worker": 1,
    "memory_limit": 0,
    "silence_logs": logging.CRITICAL,
}
# A port of its own for the page, since somebody else's may have Dask's.
JOBS = {"scheduler_options": {"dashboard_address": ":0"}}
SSH = {"worker_options": {"nthreads": 1}}
# Without the picture of its start, which the screen would be full of.
PODS = {"worker_command": ["dask", "worker", "--nthreads", "1"], "quiet": True}


@dataclasses.dataclass(frozen=True)
class ClusterConfig:
    """Where the workers of a cluster run.

    Attributes:
        where: The file, named in errors.
        env: One of `ENVIRONMENTS`.
        num_workers: Processes in all.
        options: Of Dask's class for this environment.
        start_timeout: How long to wait while there is no worker at all (s).
    """

    where: Path
    env: str
    num_workers: int
    options: dict[str, Any]
    start_timeout: float = START_TIMEOUT

    @classmethod
    def read(cls, path: Path, num_workers: int) -> "ClusterConfig":
        """Read `env`, `n_workers` (`num_workers` if not given), `options`, `start_timeout`.

        With `ssh`, `n_workers` follows from the hosts.

        Raises:
            ConfigError: If a key or value is unknown, or what the environment needs is not here.
        """
        content = load_yaml(path)
        check_keys(content, ["env", "n_workers", "options", "start_timeout"], str(path))
        env = str(content.get("env"))
        submit = choose(ENVIRONMENTS, env, f"{path}: env")
        if submit is not None and shutil.which(submit) is None:
            raise ConfigError(
                f"{path}: env '{env}' submits jobs with {submit}, which is not on the PATH here;"
                " start this on a machine that can submit jobs."
            )
        if env in EXTRAS and importlib.util.find_spec(EXTRAS[env]) is None:
            raise ConfigError(
                f"{path}: env '{env}' needs {EXTRAS[env]}, which is not installed; install the"
                f" extra '{env}' of espnet_stacodec."
            )
        options = content.get("options") or {}
        if not isinstance(options, dict):
            raise ConfigError(f"{path}: options are `key: value` lines, not {options!r}.")
        timeout = content.get("start_timeout", START_TIMEOUT)
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0:
            raise ConfigError(f"{path}: start_timeout is a number of seconds, not {timeout!r}.")
        n_workers = content.get("n_workers")
        if n_workers is not None and not isinstance(n_workers, int):
            raise ConfigError(f"{path}: n_workers is a whole number, not {n_workers!r}.")
        options = dask.config.merge(_defaults(env), options)
        if env == "ssh":
            # The hosts say how many, not --nj.
            num_workers = _workers_on_hosts(str(path), options, n_workers)
        number = whole_number(f"{path}: n_workers", n_workers, num_workers)
        return cls(Path(path), env, number, options, float(timeout))

    @property
    def submits_jobs(self) -> bool:
        """Whether workers are jobs in a queue."""
        return ENVIRONMENTS[self.env] is not None

    @property
    def logs(self) -> str:
        """Where a worker's output is, as the end of a sentence."""
        if not self.submits_jobs:
            return "the lines above"
        folder = self.options.get("log_directory")
        return f"the logs of the jobs in {folder or Path.cwd()}"


def _workers_on_hosts(where: str, options: Mapping[str, Any], n_workers: int | None) -> int:
    """Return how many workers Dask starts on the hosts of ssh: it can neither add nor spare any.

    Raises:
        ConfigError: If there is no host for a worker, or another number is asked for.
    """
    hosts = options.get("hosts")
    if not isinstance(hosts, list) or len(hosts) < 2:
        raise ConfigError(
            f"{where}: hosts must list two or more, the scheduler's and one for each worker, not"
            f" {hosts!r}."
        )
    of_workers = options["worker_options"]
    on_each = of_workers.get("n_workers", 1) if isinstance(of_workers, dict) else 1
    if type(on_each) is not int or on_each < 1:
        raise ConfigError(
            f"{where}: n_workers of worker_options, those of a host, is 1 or more, not {on_each!r}."
        )
    number = (len(hosts) - 1) * on_each
    if n_workers not in (None, number):
        raise ConfigError(
            f"{where}: n_workers {n_workers} does not go with {len(hosts)} hosts, the first of"
            f" which has the scheduler: they make {number} workers; leave n_workers out."
        )
    return number


def _defaults(env: str) -> dict[str, Any]:
    if env == "local":
        return dict(ONE_MACHINE)
    if env == "local_gpu":
        return {key: value for key, value in ONE_MACHINE.items() if key != "memory_limit"}
    if env == "ssh":
        return dict(SSH)
    if env == "kube":
        return dict(PODS)
    return dict(JOBS) if ENVIRONMENTS[env] is not None else {}

"""Work in jobs of a queue: commands of SLURM, PBS and SGE that run them here, or never."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest
import yaml
from cluster_work import squared

from espnet_stacodec.errors import ConfigError, StageError
from espnet_stacodec.parallel import Workers, cluster, dispatch

HERE = Path(__file__).parent
SHIPPED = HERE.parents[1] / "egs2" / "TEMPLATE" / "codec1" / "conf" / "parallel"
# Works in jobs for ever, from the moment it says so.
DRIVER = """
import sys, time
from pathlib import Path
from espnet_stacodec.parallel import Workers

with Workers(2, cluster=Path(sys.argv[1])) as workers:
    for _ in workers.map(time.sleep, [0.1] * 100000, "sleep"):
        print("working", flush=True)
"""


@pytest.fixture
def jobs(tmp_path, monkeypatch) -> Path:
    """The folder of what was submitted; the commands of the queues are on the PATH."""
    folder = tmp_path / "jobs"
    (tmp_path / "bin").mkdir()
    folder.mkdir()
    for source, name in (("sbatch", "sbatch"), ("sbatch", "qsub"), ("scancel", "scancel"),
                         ("scancel", "qdel")):  # fmt: skip
        shutil.copy(HERE / f"{source}.sh", tmp_path / "bin" / name)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("JOBS", str(folder))
    # Workers find this file's functions, as they find those of the package.
    monkeypatch.setenv("PYTHONPATH", f"{HERE}:{HERE.parents[1]}")
    monkeypatch.chdir(tmp_path)
    return folder


def configured(name: str = "slurm", **changes: object) -> Path:
    """Return the file that is shipped, with changes."""
    content = yaml.safe_load((SHIPPED / f"{name}.yaml").read_text())
    content["options"] |= changes.pop("options", {})
    path = Path(f"{name}.yaml")
    path.write_text(yaml.safe_dump(content | changes))
    return path


def submitted(jobs: Path) -> list[str]:
    return [path.read_text() for path in sorted(jobs.glob("*.job"))]


def test_jobs_of_slurm_do_the_work(jobs):
    with Workers(2, cluster=configured()) as workers:
        results = list(workers.map(squared, list(range(100)), "squares"))
    assert [result for result, _ in results] == [item * item for item in range(100)]
    assert os.getpid() not in {pid for _, pid in results}
    assert len(submitted(jobs)) == 2
    assert len((jobs / "cancelled").read_text().split()) == 2


def wait_until(condition, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.2)


def running(scheduler: str) -> list[int]:
    """Return the processes of the workers of this scheduler."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if scheduler in path.read_bytes().decode(errors="replace"):
                found.append(int(path.parent.name))
    return found


def scheduler_of(jobs: Path) -> str:
    (scheduler,) = {
        word for job in submitted(jobs) for word in job.split() if word.startswith("tcp://")
    }
    return scheduler


def test_results_that_are_lost_with_all_jobs_are_made_again(jobs, monkeypatch, caplog):
    """As when the time limit of all of them ends while a part is written."""
    monkeypatch.setattr(dispatch, "RESTART_SECONDS", 1.0)
    settings = cluster.DASK_SETTINGS | {"distributed.deploy.lost-worker-timeout": "1 s"}
    monkeypatch.setattr(cluster, "DASK_SETTINGS", settings)
    with Workers(2, cluster=configured()) as workers:
        results = workers.map(squared, list(range(100)), "squares")
        assert next(results)[0] == 0
        time.sleep(2)  # further results wait in the workers
        killed = running(scheduler_of(jobs))
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        time.sleep(2)  # the scheduler has noticed
        rest = list(results)
    assert [result for result, _ in rest] == [item * item for item in range(1, 100)]
    assert "a worker has ended; its part" in caplog.text
    assert killed and rest[-1][1] not in killed


def test_a_result_that_is_lost_is_not_waited_for():
    """Its task had ended when it was looked at; Dask has taken that back since."""
    lost = mock.Mock()
    lost.done.return_value = False
    with pytest.raises(TimeoutError):
        dispatch._fetch(lost)
    lost.result.assert_not_called()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_jobs_end_with_the_command(jobs, how):
    Path("driver.py").write_text(DRIVER)
    words = [sys.executable, "driver.py", str(configured())]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == b"working\n"
        scheduler = scheduler_of(jobs)
        assert running(scheduler)
        driver.send_signal(how)
        driver.communicate(timeout=90)
    wait_until(lambda: not running(scheduler))


def test_jobs_that_never_start_are_a_sentence(jobs, monkeypatch):
    monkeypatch.setenv("WAITS", "yes")
    sentence = (
        "^squares: for 1 s there was none of the 2 workers that slurm.yaml asks for; look at the"
        r" queue and at the logs of the jobs in logs/parallel, or wait longer \(start_timeout\)"
    )
    with (
        pytest.raises(StageError, match=sentence),
        Workers(2, cluster=configured(start_timeout=1)) as workers,
    ):
        list(workers.map(squared, [1, 2], "squares"))
    assert Path("logs/parallel").is_dir()


def test_jobs_that_are_refused_are_a_sentence(jobs, monkeypatch):
    monkeypatch.setenv("REFUSED", "invalid partition specified: cpu")
    with (
        pytest.raises(StageError, match="slurm.yaml: the jobs could not be submitted .*partition"),
        Workers(2, cluster=configured()) as workers,
    ):
        list(workers.map(squared, [1, 2], "squares"))


def test_options_that_dask_refuses_are_a_sentence(jobs):
    message = "^slurm.yaml: a cluster 'slurm' cannot be started .*unexpected .*'coers'"
    path = configured(options={"coers": 1})
    with pytest.raises(ConfigError, match=message), Workers(2, cluster=path) as workers:
        list(workers.map(squared, [1, 2], "squares"))


SCRIPTS = {
    "slurm": ["#SBATCH -p cpu", "#SBATCH -n 1", "#SBATCH --cpus-per-task=1", "#SBATCH --mem=4G",
              "#SBATCH -t 04:00:00", "#SBATCH --gres=gpu:1"],
    "pbs": ["#PBS -q cpu", "#PBS -l select=1:ncpus=1:mem=3815MB", "#PBS -l walltime=04:00:00"],
    "sge": ["#$ -q cpu", "#$ -l h_rt=04:00:00", "#$ -cwd"],
}  # fmt: skip


@pytest.mark.parametrize("env", SCRIPTS)
def test_scripts_of_the_jobs(jobs, monkeypatch, env):
    monkeypatch.setenv("WAITS", "yes")
    options: dict[str, object] = {"job_script_prologue": [". /tools/env.sh"]}
    if env == "slurm":
        options["job_extra_directives"] = ["--gres=gpu:1"]
    path = configured("pbs" if env == "sge" else env, env=env, start_timeout=1, options=options)
    with pytest.raises(StageError), Workers(2, cluster=path) as workers:
        list(workers.map(squared, [1], "squares"))
    first, second = submitted(jobs)
    for line in SCRIPTS[env]:
        assert line in first.splitlines(), first
    *_, prologue, command = first.strip().splitlines()
    assert prologue == ". /tools/env.sh"
    words = command.split()
    assert words[:3] == [sys.executable, "-m", "distributed.cli.dask_worker"]
    assert words[3].startswith("tcp://")
    for option, value in {"--nthreads": "1", "--lifetime": "225m"}.items():
        assert words[words.index(option) + 1] == value
    assert first != second and second.strip().splitlines()[-2] == prologue

"""Start a training as several processes, one a GPU, on one machine or several.

Torch's elastic agent (torchrun's) rather than ESPnet's launcher: it also starts processes without
GPUs, finds the other machines by one address whatever the scheduler, and when a process dies it
ends the others, instead of letting them wait for it; on every machine, by `WatchedRendezvous`.
"""

import argparse
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous import RendezvousError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from espnet_stacodec.config import check_range
from espnet_stacodec.errors import ConfigError, TrainingError
from espnet_stacodec.train import rendezvous

DEFAULT_PORT = 29400
# Where a process that ends with an error of the input leaves its sentence for the others' starter.
SENTENCES = "STACODEC_SENTENCES"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how many processes train, and where."""
    group = parser.add_argument_group("processes (see also --ngpu)")
    group.add_argument(
        "--nproc",
        type=int,
        help="processes on this machine; by default one a GPU. For several without GPUs",
    )
    group.add_argument(
        "--num_nodes",
        type=int,
        default=1,
        help="machines; the same command is started on each, with --dist_master_addr",
    )


class Launch:
    """How a training is started, read from its command line.

    Args:
        argv: The command's options; those that are for the start alone are not passed on.

    Raises:
        ConfigError: If there are fewer GPUs than asked for, no process or machine is asked for, or
            there is no address of the first machine.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        add_arguments(parser)
        options, self.argv = parser.parse_known_args(argv)
        check_range("command line", 1, nproc=options.nproc, num_nodes=options.num_nodes)
        self.nodes = options.num_nodes
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        parser.add_argument("--ngpu", type=int, default=0)
        parser.add_argument("--collect_stats", default="false")
        parser.add_argument("--multiprocessing_distributed")
        parser.add_argument("--dist_master_addr")
        parser.add_argument("--dist_master_port", type=int, default=DEFAULT_PORT)
        espnets, self.others = parser.parse_known_args(self.argv)
        self.ngpu = espnets.ngpu
        self.processes = options.nproc or max(self.ngpu, 1)
        self.address, self.port = espnets.dist_master_addr, espnets.dist_master_port
        collects = espnets.collect_stats.lower() in ("true", "yes", "1")
        self.is_needed = self.processes * self.nodes > 1 and not (collects or is_started())
        if self.is_needed:
            self._check()

    def _check(self) -> None:
        if self.ngpu and self.processes != self.ngpu:
            raise ConfigError(
                f"--nproc {self.processes} does not go with --ngpu {self.ngpu}: each GPU has one"
                " process; leave --nproc out."
            )
        if self.ngpu > torch.cuda.device_count():
            raise ConfigError(
                f"--ngpu {self.ngpu}: this machine has {torch.cuda.device_count()} GPUs that can be"
                " used; lower it (--nproc N trains with processes on the CPU)."
            )
        if self.nodes > 1 and not self.address:
            raise ConfigError(
                f"--num_nodes {self.nodes} needs --dist_master_addr: the name of the first machine"
                " (under SLURM: $(scontrol show hostnames $SLURM_JOB_NODELIST | head -n 1))."
            )

    def run(self, module: str) -> None:
        """Start the processes, each running `module`, and wait until they have ended.

        Raises:
            TrainingError: If one of them failed, on any machine; the others were stopped then.
        """
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        endpoint = f"{self.address}:{self.port}" if self.nodes > 1 else "localhost:0"
        with tempfile.TemporaryDirectory(prefix="stacodec-") as folder:
            os.environ[SENTENCES] = folder
            config = LaunchConfig(
                min_nodes=self.nodes,
                max_nodes=self.nodes,
                nproc_per_node=self.processes,
                run_id=os.environ.get("SLURM_JOB_ID", "stacodec"),
                rdzv_backend=rendezvous.BACKEND if self.nodes > 1 else "c10d",
                rdzv_endpoint=endpoint,
                max_restarts=0,
            )
            own = ["--ngpu", str(min(self.ngpu, 1)), "--multiprocessing_distributed", "false"]
            try:
                elastic_launch(config, sys.executable)("-m", module, *self.others, *own)
            except ChildFailedError as error:
                raise TrainingError(_sentence(error, Path(folder))) from error
            except RendezvousError as error:
                raise TrainingError(
                    f"the {self.nodes} machines did not meet at {endpoint} ({error}); start the"
                    " same command on each, with a name of the first that all can reach."
                ) from error
            finally:
                rendezvous.leave()


def is_started() -> bool:
    """Whether this process is one of several, started by torchrun or by `Launch`."""
    return {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= set(os.environ)


def end_with_starter() -> None:
    """End this process when the one that started it is gone, e.g. killed."""
    starter = os.getppid()

    def watch() -> None:
        while os.getppid() == starter:
            time.sleep(1)
        logging.error("The process that started this one is gone; the training ends.")
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="watch starter").start()


def leave_sentence(sentence: str) -> None:
    """Leave the error of this process for its starter, which says it once."""
    folder = os.environ.get(SENTENCES)
    if folder is not None:
        (Path(folder) / os.environ["RANK"]).write_text(sentence, encoding="utf-8")


def _sentence(error: ChildFailedError, folder: Path) -> str:
    sentences = [path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())]
    if sentences:
        return sentences[0]
    rank, failure = error.get_first_failure()
    how = f"ended with status {failure.exitcode}"
    if failure.exitcode < 0:
        how = f"was ended by {signal.Signals(-failure.exitcode).name}"
    return (
        f"process {rank} of the training {how}, and the others were stopped; read the lines above."
        " Started again, the training goes on from the last complete epoch."
    )

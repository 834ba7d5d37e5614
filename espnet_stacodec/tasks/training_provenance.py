"""`provenance.yaml` of a training: what decides its result, and which data it saw."""

import argparse
from typing import Any

from espnet2.fileio.read_text import read_2columns_text
from espnet2.train.distributed_utils import get_world_size

from espnet_stacodec.fileio.files import read_scp
from espnet_stacodec.fileio.provenance import Provenance
from espnet_stacodec.tasks.started_experiment import PARTS

# Options that decide what is learned; config.yaml, beside it, has all.
SETTINGS = (
    "codec", "codec_conf", "init_param", "iterator_type", "batch_type", "batch_size",
    "chunk_length", "max_epoch", "num_iters_per_epoch", "steps_per_epoch", "accum_grad",
    "grad_clip", "use_amp", "ema_decay", "generator_first", "skip_discriminator_prob", "optim",
    "optim_conf", "optim2", "optim2_conf", "scheduler", "scheduler_conf", "scheduler2",
    "scheduler2_conf", "ngpu", "collect_stats",
)  # fmt: skip
# The same of ESPnet's other tasks, each of which has some of them.
ESPNET_SETTINGS = (
    *(key for part in PARTS for key in (part, f"{part}_conf")), "model", "model_conf", "ctc_conf",
    "joint_net_conf", "init", "init_param", "freeze_param", "input_size", "token_type",
    "src_token_type", "specaug", "specaug_conf", "batch_type", "batch_size", "batch_bins",
    "max_epoch", "patience", "num_iters_per_epoch", "accum_grad", "grad_clip", "use_amp", "optim",
    "optim_conf", "scheduler", "scheduler_conf", "best_model_criterion", "keep_nbest_models",
    "ngpu", "collect_stats",
)  # fmt: skip
# Options whose files say what the units of texts are.
UNIT_FILES = ("token_list", "src_token_list", "bpemodel", "src_bpemodel")
# Types of ESPnet's inputs whose lists hold the places of files, one an utterance.
PLACE_TYPES = ("sound", "kaldi_ark", "npy")


def training_provenance(args: argparse.Namespace, codec_conf: dict[str, Any]) -> Provenance:
    """Return what makes an experiment, or its statistics.

    Args:
        args: ESPnet's options.
        codec_conf: `args.codec_conf`, completed with the properties of the tokenizer.
    """
    settings = {name: getattr(args, name) for name in SETTINGS}
    settings |= {"codec_conf": codec_conf, "processes": _processes(args)}
    data: dict[str, str | dict[str, str]] = {}
    for part in ("train", "valid"):
        for path, name, _ in getattr(args, f"{part}_data_path_and_name_and_type"):
            data[f"{part}_{name}"] = read_scp(path)
    return Provenance(__name__, settings, data | _initial(args, len(data)), args.seed)


def espnet_provenance(args: argparse.Namespace) -> Provenance:
    """Return what makes an experiment of one of ESPnet's own tasks, or its statistics.

    Args:
        args: ESPnet's options.
    """
    settings = {name: getattr(args, name) for name in ESPNET_SETTINGS if hasattr(args, name)}
    settings |= {"processes": _processes(args)}
    data: dict[str, str | dict[str, str]] = {}
    for part in ("train", "valid"):
        for path, name, kind in getattr(args, f"{part}_data_path_and_name_and_type", ()):
            # As ESPnet reads it, which asks for no order.
            places = read_2columns_text(path) if kind in PLACE_TYPES else {"list": path}
            data[f"{part}_{name}"] = places
    for name in UNIT_FILES:
        path = getattr(args, name, None)
        if isinstance(path, str):
            data[name] = {"file": path}
    return Provenance(__name__, settings, data | _initial(args, len(data)), args.seed)


def _processes(args: argparse.Namespace) -> int:
    return get_world_size(args.dist_world_size, args.dist_launcher) or 1


def _initial(args: argparse.Namespace, number: int) -> dict[str, str | dict[str, str]]:
    """Return the checkpoints that a training begins with; `number` data come before them."""
    paths = [given.partition(":")[0] for given in args.init_param]  # <file>:<from>:<to>
    return {f"init_param_{n}": {"file": path} for n, path in enumerate(paths, number)}

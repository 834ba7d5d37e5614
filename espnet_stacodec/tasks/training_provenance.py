"""`provenance.yaml` of a training: what decides its result, and which data it saw."""

import argparse
from typing import Any

from espnet2.train.distributed_utils import get_world_size

from espnet_stacodec.fileio.files import read_scp
from espnet_stacodec.fileio.provenance import Provenance

# Options that decide what is learned; config.yaml, beside it, has all.
SETTINGS = (
    "codec", "codec_conf", "init_param", "iterator_type", "batch_type", "batch_size",
    "chunk_length", "max_epoch", "num_iters_per_epoch", "steps_per_epoch", "accum_grad",
    "grad_clip", "use_amp", "ema_decay", "generator_first", "skip_discriminator_prob", "optim",
    "optim_conf", "optim2", "optim2_conf", "scheduler", "scheduler_conf", "scheduler2",
    "scheduler2_conf", "ngpu", "collect_stats",
)  # fmt: skip


def training_provenance(args: argparse.Namespace, codec_conf: dict[str, Any]) -> Provenance:
    """Return what makes an experiment, or its statistics.

    Args:
        args: ESPnet's options.
        codec_conf: `args.codec_conf`, completed with the properties of the tokenizer.
    """
    processes = get_world_size(args.dist_world_size, args.dist_launcher) or 1
    settings = {name: getattr(args, name) for name in SETTINGS}
    settings |= {"codec_conf": codec_conf, "processes": processes}
    data: dict[str, str | dict[str, str]] = {}
    for part in ("train", "valid"):
        for path, name, _ in getattr(args, f"{part}_data_path_and_name_and_type"):
            data[f"{part}_{name}"] = read_scp(path)
    for given in args.init_param:
        path = given.partition(":")[0]  # <file>:<from>:<to>
        data[f"init_param_{len(data)}"] = {"file": path}
    return Provenance(__name__, settings, data, args.seed)

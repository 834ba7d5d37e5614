"""Train the variants of conf/ablations.yaml with several seeds, and say what each keeps and knows.

Runs in a recipe's folder (run_ablations.sh). Network, data, steps and semantic tokens are the same
for all; the seed reaches weights, codebooks, masks and the order of the data. A second call keeps
what is finished.
"""

import argparse
import contextlib
import functools
import sys
from pathlib import Path
from typing import Any

from ablation_measures import Probe, measure, measure_references
from ablation_tables import write_tables
from ablation_variants import BEST, plan, train

from espnet_stacodec.bin import _cli
from espnet_stacodec.config import check_keys, choose, load_yaml
from espnet_stacodec.errors import ConfigError
from espnet_stacodec.fileio.provenance import Provenance


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options; a recipe's defaults are in its run_ablations.sh."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--ablations", type=Path, default=Path("conf/ablations.yaml"))
    parser.add_argument("--train_config", type=Path, default=Path("conf/train_small.yaml"))
    parser.add_argument("--variants", nargs="+", help="names in ablations.yaml; all if not given")
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[777], help="each variant is trained with each"
    )
    parser.add_argument(
        "--probes", nargs="*", default=[], help="names in ablations.yaml: what RVQ-1 is asked"
    )
    parser.add_argument("--ssl_config", type=Path, required=True)
    parser.add_argument("--train_set", required=True)
    parser.add_argument("--valid_set", required=True)
    parser.add_argument("--test_set", required=True)
    parser.add_argument(
        "--metrics", nargs="+", default=["pesq", "stoi", "si_sdr"], help="as stage 6 takes them"
    )
    parser.add_argument("--dumpdir", type=Path, default=Path("dump"))
    parser.add_argument("--expdir", type=Path, default=Path("exp/ablations"))
    parser.add_argument("--nj", type=int, default=1, help="processes that encode and score")
    return parser


def main() -> None:
    """Run the command."""
    _cli.run(_work, get_parser())


def _work(args: argparse.Namespace) -> None:
    if len(set(args.seeds)) < len(args.seeds) or min(args.seeds) < 0:
        raise ConfigError(f"--seeds {args.seeds}: each must be 0 or more, and another one.")
    conf = load_yaml(args.ablations)
    check_keys(conf, ("all", "phase", "variants", "probes"), str(args.ablations))
    known = conf.get("probes") or {}
    where = f"{args.ablations}: probe"
    probes = [Probe.read(name, choose(known, name, where), where) for name in args.probes]
    found: list[dict[str, Any]] = []
    codecs = {}
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for the tables of all
        # Seed by seed: a call that is interrupted has whole tables of the seeds before.
        for number, run in enumerate(plan(conf, args)):
            training = functools.partial(train, run, args, first=number == 0)
            figures = measure(run, probes, args, training)
            found.append({"variant": run.variant, "seed": run.seed, "figures": figures})
            codecs[run.tag] = str(run.experiment / BEST)
        references = measure_references(run, probes, args)
    settings = vars(args) | {"ablations": conf, "train_config": load_yaml(args.train_config)}
    for name in ("expdir", "nj", "log_level", "debug"):
        settings.pop(name, None)  # they do not decide the result
    Provenance("ablations", settings, {"codecs": codecs}).write(args.expdir)
    sys.stdout.write(write_tables(args.expdir, found, references, probes))


if __name__ == "__main__":
    main()

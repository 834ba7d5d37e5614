"""Add faster and slower copies to a formatted set (stage 2)."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_stacodec.bin import _cli
from espnet_stacodec.data_prep.speed_perturbation import check_speeds, perturb_set


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--data_dir", type=Path, required=True, help="e.g. dump/raw/train")
    parser.add_argument("--out_dir", type=Path, required=True, help="e.g. dump/raw/train_sp")
    parser.add_argument(
        "--factors", type=float, nargs="+", required=True, help="e.g. 0.9 1.0 1.1; 1 is the set"
    )
    parser.add_argument("--fs", type=int, default=16000, help="of the set (Hz)")
    parser.add_argument(
        "--check",
        action="store_true",
        help="make nothing; fail unless the copies in out_dir are of these speeds",
    )
    _cli.add_worker_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    if args.check:
        check_speeds(args.out_dir, args.factors)
        return
    with _cli.workers(args) as workers:
        perturb_set(args.data_dir, args.out_dir, args.factors, args.fs, workers)


if __name__ == "__main__":
    main()

"""Encode sets into the directories that discrete-token ASR and SLU recipes read (stage 7)."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_stacodec.bin import _cli


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="folder of the experiment")
    parser.add_argument("--model_file", help="checkpoint in it; the best one if not given")
    parser.add_argument("--dump_dir", type=Path, required=True, help="e.g. dump/raw")
    parser.add_argument(
        "--semantic_dir",
        type=Path,
        help="e.g. dump/semantic/mfcc_l0_km100; without it the codec makes the tokens it needs",
    )
    parser.add_argument("--sets", nargs="+", required=True, help="sets of dump_dir")
    parser.add_argument("--out_dir", type=Path, required=True, help="gets a folder for each set")
    parser.add_argument("--nj", type=int, default=1, help="processes that work at the same time")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ...")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    from espnet_stacodec.downstream.code_dirs import dump_codes

    dump_codes(
        model=args.model,
        dump_dir=args.dump_dir,
        semantic_dir=args.semantic_dir,
        sets=args.sets,
        out_dir=args.out_dir,
        num_jobs=args.nj,
        device=args.device,
        model_file=args.model_file,
    )


if __name__ == "__main__":
    main()

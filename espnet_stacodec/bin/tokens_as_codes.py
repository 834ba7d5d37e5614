"""Write semantic tokens as codes of one codebook: the reference for what a codec keeps."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_stacodec.bin import _cli


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--semantic_dir", type=Path, required=True, help="e.g. dump/semantic/mfcc_l0_km100"
    )
    parser.add_argument("--dump_dir", type=Path, required=True, help="e.g. dump/raw")
    parser.add_argument("--sets", nargs="+", required=True, help="sets of both")
    parser.add_argument("--out_dir", type=Path, required=True, help="gets a folder for each set")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    from espnet_stacodec.downstream.code_dirs import tokens_as_codes

    tokens_as_codes(args.semantic_dir, args.dump_dir, args.sets, args.out_dir)


if __name__ == "__main__":
    main()

"""Prepare SLURP: write a data directory, with intents, for every set."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_stacodec.bin import _cli
from espnet_stacodec.data_prep import slurp
from espnet_stacodec.errors import DataError


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--corpus", required=True, help="folder that holds dataset/ and audio/")
    parser.add_argument("--out_dir", type=Path, default=Path("data"))
    parser.add_argument(
        "--sets", nargs="+", required=True, help="train, devel, test or train_synthetic"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    if not args.corpus:
        raise DataError(
            "SLURP is not set: clone pswietojanski/slurp from GitHub, run its"
            " scripts/download_audio.sh, unpack audio/slurp_real.tar.gz inside audio/, and give"
            " that clone as SLURP in db.sh or in the environment."
        )
    sets = list(dict.fromkeys(args.sets))
    slurp.prepare(args.corpus, sets, args.out_dir)
    _cli.record(args, slurp.__name__, [args.out_dir / name for name in sets])


if __name__ == "__main__":
    main()

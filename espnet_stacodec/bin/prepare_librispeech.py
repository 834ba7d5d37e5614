"""Prepare LibriSpeech: download it if need be, and write a data directory for every set."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_stacodec.bin import _cli
from espnet_stacodec.data_prep import librispeech


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--corpus", default="", help="folder of LibriSpeech; empty: download it into --download_dir"
    )
    parser.add_argument("--download_dir", type=Path, default=Path("downloads"))
    parser.add_argument("--base_url", help="folder of the archives, a mirror; OpenSLR if not given")
    parser.add_argument("--out_dir", type=Path, default=Path("data"))
    parser.add_argument(
        "--sets",
        nargs="+",
        required=True,
        help=f"{', '.join(librispeech.SETS)}, or one part of the corpus, e.g. test_clean",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    sets = list(dict.fromkeys(args.sets))
    corpus = args.corpus
    if not corpus:
        parts = dict.fromkeys(part for name in sets for part in librispeech.parts_of(name))
        corpus = librispeech.download_parts(list(parts), args.download_dir, args.base_url)
    librispeech.prepare(corpus, sets, args.out_dir)
    _cli.record(args, librispeech.__name__, [args.out_dir / name for name in sets])


if __name__ == "__main__":
    main()

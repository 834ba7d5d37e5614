"""Write the token list of the target texts of an ASR or SLU model."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_stacodec.bin import _cli


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--text", type=Path, required=True, help="targets of the training set")
    parser.add_argument(
        "--token_type", default="char", choices=("char", "word", "bpe"), help="units"
    )
    parser.add_argument("--nbpe", type=int, default=500, help="sentencepiece units, for bpe")
    parser.add_argument("--out_dir", type=Path, required=True, help="gets tokens.txt, bpe.model")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    from espnet_stacodec.downstream.token_lists import make_token_list

    make_token_list(args.text, args.token_type, args.nbpe, args.out_dir)


if __name__ == "__main__":
    main()

"""Score hypotheses: WER, CER, intent accuracy; RESULTS.md and results.json."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from espnet_stacodec.bin import _cli
from espnet_stacodec.downstream.targets import TARGETS


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--inputs_dir", type=Path, required=True, help="holds <set>/text: targets")
    parser.add_argument(
        "--decode_dir", type=Path, required=True, help="holds <set>/text: recognized"
    )
    parser.add_argument("--train_set", required=True, help="gives the majority-class baseline")
    parser.add_argument("--sets", nargs="+", required=True, help="sets to score")
    parser.add_argument(
        "--target",
        default="words",
        choices=TARGETS,
        help="target text of the model",
    )
    parser.add_argument("--title", required=True, help="what was recognized with what")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    from espnet_stacodec.downstream.scoring import write_scores

    pairs = {
        name: (args.inputs_dir / name / "text", args.decode_dir / name / "text")
        for name in args.sets
    }
    train_text = args.inputs_dir / args.train_set / "text"
    sys.stdout.write(write_scores(args.target, args.title, train_text, pairs, args.decode_dir))


if __name__ == "__main__":
    main()

"""Print the options of a training of given minutes or steps, after timing a few steps (stage 5)."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_stacodec.bin import _cli


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--train_minutes", type=float, help="of training, on this machine")
    length.add_argument("--train_steps", type=int, help="of the generator, at least")
    parser.add_argument("--experiment", type=Path, required=True, help="keeps what was found")
    parser.add_argument("train_options", nargs="+", help="after --: the options of bin.train")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    from espnet_stacodec.tasks.training_length import plan

    options = plan(args.experiment, args.train_options, args.train_minutes, args.train_steps)
    print("\n".join(options))  # noqa: T201 - the answer, for recipes to read


if __name__ == "__main__":
    main()

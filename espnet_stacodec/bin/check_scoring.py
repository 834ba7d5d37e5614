"""Say which scores of stage 6 cannot be had, before the stages that come before it."""

import argparse
from collections.abc import Sequence

from espnet_stacodec.bin import _cli, _score


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    _score.add_scoring_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    from espnet_stacodec.evaluation.families import choose_families
    from espnet_stacodec.evaluation.recognizer import check_recognizer

    choose_families(args.metrics)
    if args.recognizer is not None:
        check_recognizer(args.recognizer)


if __name__ == "__main__":
    main()

"""Encode sets into the directories that discrete-token ASR and SLU recipes read (stage 7)."""

import argparse
from collections.abc import Sequence

from espnet_stacodec.bin import _cli


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    _cli.add_set_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    from espnet_stacodec.downstream.code_dirs import dump_codes

    with _cli.workers(args) as workers:
        dump_codes(
            model=args.model,
            dump_dir=args.dump_dir,
            semantic_dir=args.semantic_dir,
            sets=args.sets,
            out_dir=args.out_dir,
            workers=workers,
            model_file=args.model_file,
            precision=args.precision,
        )


if __name__ == "__main__":
    main()

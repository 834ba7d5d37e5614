"""Write the inputs and target texts of an ASR or SLU model: codes or audio, and labels."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_stacodec.bin import _cli
from espnet_stacodec.downstream.targets import TARGETS


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--codes_dir", type=Path, help="EXP/codes of a codec")
    source.add_argument("--dump_dir", type=Path, help="audio instead of codes: dump/raw of a codec")
    parser.add_argument("--sets", nargs="+", required=True, help="the training set first")
    parser.add_argument("--codebooks", default="1", help="counted from 1, e.g. 1, 1-8 or 1,3-4")
    parser.add_argument(
        "--deduplicate", action="store_true", help="leave out frames that repeat the one before"
    )
    parser.add_argument(
        "--src_nbpe",
        type=int,
        default=0,
        help="size of a BPE over the codes of one codebook; 0 for single codes",
    )
    parser.add_argument(
        "--target",
        default="words",
        choices=TARGETS,
        help="target text of the model",
    )
    parser.add_argument("--out_dir", type=Path, required=True, help="gets a folder for each set")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    from espnet_stacodec.downstream.inputs import prepare_audio, prepare_inputs

    if args.dump_dir is not None:
        prepare_audio(args.dump_dir, args.sets, args.target, args.out_dir)
    else:
        prepare_inputs(
            args.codes_dir,
            args.sets,
            args.codebooks,
            args.target,
            args.out_dir,
            args.deduplicate,
            args.src_nbpe,
        )


if __name__ == "__main__":
    main()

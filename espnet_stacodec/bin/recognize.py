"""Decode sets with a trained ESPnet model, several parts of a set at a time."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_stacodec.bin import _cli


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--task", required=True, choices=("asr", "mt", "slu"), help="of ESPnet")
    parser.add_argument("--model", type=Path, required=True, help="checkpoint of an experiment")
    parser.add_argument("--inputs_dir", type=Path, required=True, help="holds <set>/ of stage 2")
    parser.add_argument(
        "--stream", required=True, help="FILE,NAME,TYPE of the input, FILE in the set's folder"
    )
    parser.add_argument("--sets", nargs="+", required=True, help="sets of inputs_dir")
    parser.add_argument("--out_dir", type=Path, required=True, help="gets <set>/text")
    parser.add_argument("--config", type=Path, help="YAML file of ESPnet's inference options")
    _cli.add_worker_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    from espnet_stacodec.downstream.recognition import recognize

    options = ["--config", str(args.config)] if args.config else []
    with _cli.workers(args) as workers:
        for name in args.sets:
            stream = f"{args.inputs_dir / name}/{args.stream}"
            recognize(args.task, args.model, [stream], options, args.out_dir / name, workers)


if __name__ == "__main__":
    main()

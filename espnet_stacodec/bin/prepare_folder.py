"""Prepare any folder of audio: write data directories for training and development (stage 1)."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_stacodec.bin import _cli
from espnet_stacodec.data_prep import folder
from espnet_stacodec.errors import ConfigError


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--audio_dir", required=True, help="folder of audio files, in any tree")
    parser.add_argument(
        "--speakers",
        default="",
        help="folder (that a file lies in), file (each has another speaker), or a regular"
        " expression that finds the speaker in a file's path; empty: folder if there are several",
    )
    parser.add_argument(
        "--dev_share", type=float, default=0.05, help="of the audio, for --valid_set"
    )
    parser.add_argument("--train_set", default="train", help="name of the training set")
    parser.add_argument("--valid_set", default="dev", help="name of the development set")
    parser.add_argument("--out_dir", type=Path, default=Path("data"))
    parser.add_argument("--nj", type=int, default=1, help="processes that work at the same time")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    if not args.audio_dir:
        raise ConfigError("--audio_dir is not given: say where the audio files are.")
    folder.prepare(
        args.audio_dir,
        args.out_dir,
        args.speakers,
        args.dev_share,
        args.train_set,
        args.valid_set,
        args.nj,
    )
    sets = [args.out_dir / name for name in (args.train_set, args.valid_set)]
    _cli.record(args, folder.__name__, sets)


if __name__ == "__main__":
    main()

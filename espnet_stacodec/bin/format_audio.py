"""Bring the audio of a data directory to 16-bit mono flac of one rate, and filter it (stage 2)."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_stacodec.bin import _cli
from espnet_stacodec.data_prep.audio_rules import AudioRules
from espnet_stacodec.data_prep.format_audio import format_set


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    rules = AudioRules()
    parser.add_argument("--data_dir", type=Path, required=True, help="e.g. data/train")
    parser.add_argument("--out_dir", type=Path, required=True, help="e.g. dump/raw/train")
    parser.add_argument("--fs", type=int, default=rules.sample_rate, help="Hz")
    parser.add_argument("--min_seconds", type=float, default=rules.min_seconds)
    parser.add_argument("--max_seconds", type=float, default=rules.max_seconds)
    parser.add_argument(
        "--silence_db", type=float, default=rules.silence_db, help="lowest peak, full scale is 0 dB"
    )
    parser.add_argument(
        "--allow_commands",
        action="store_true",
        help="run commands of wav.scp (`... |`) instead of refusing them",
    )
    _cli.add_worker_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    rules = AudioRules(args.fs, args.min_seconds, args.max_seconds, args.silence_db)
    with _cli.workers(args) as workers:
        format_set(args.data_dir, args.out_dir, rules, workers, args.allow_commands)


if __name__ == "__main__":
    main()

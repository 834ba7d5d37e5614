"""`stacodec benchmark`: speed and memory at full size, as ratios."""

import argparse
import math
import sys
from pathlib import Path

BENCHMARKS = ("encode", "streaming", "tokens", "training", "files")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `stacodec benchmark`."""
    parser.set_defaults(work=benchmark)
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=list(BENCHMARKS),
        metavar="PART,...",
        help=f"which parts to measure: {', '.join(BENCHMARKS)} (default: all)",
    )
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="to code; streams: at most 2 (default: 10)"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=20.0,
        help="of tokens and files; formatting gets 10 times, resynthesis half of it (default: 20)",
    )
    parser.add_argument("--items", type=int, default=2, help="of a training step (default: 2)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: 2)")
    parser.add_argument(
        "--repeats", type=int, default=3, help="of each; the best or median counts (default: 3)"
    )
    parser.add_argument(
        "--published",
        type=Path,
        metavar="CHECKOUT",
        help="of the published code, to encode and decode beside it",
    )


def benchmark(args: argparse.Namespace) -> None:
    """Print the tables of the parts that were asked for, each as soon as it is measured."""
    from espnet_stacodec.config import check_keys, whole_number
    from espnet_stacodec.errors import ConfigError

    check_keys(args.only, BENCHMARKS, "--only")
    for name in ("items", "threads", "repeats"):
        whole_number(f"--{name}", getattr(args, name), 1)
    for name in ("seconds", "minutes"):
        if not 0 < getattr(args, name) < math.inf:
            raise ConfigError(f"--{name} {getattr(args, name)} is invalid; give more than 0.")
    if args.published and "encode" not in args.only:
        raise ConfigError("--published is measured with the part encode; add it to --only.")
    # They take long to load.
    from espnet_stacodec.evaluation.benchmark import (
        coding,
        files,
        pipes,
        published,
        streaming,
        systems,
        timing,
        tokens,
    )
    from espnet_stacodec.train import step_benchmark

    if args.published:
        published.import_modules(args.published)  # what is wrong with it is said at once
    timing.warn_of_load()
    of_coding = (args.seconds, args.threads, args.repeats)
    beside = (lambda: published.compare(args.published, *of_coding),) if args.published else ()
    parts = {
        "encode": (
            lambda: systems.compare(*of_coding),
            lambda: coding.compare(*of_coding),
            *beside,
        ),
        "streaming": (
            lambda: streaming.compare(args.seconds, args.repeats),
            lambda: pipes.compare(args.seconds),
        ),
        "tokens": (lambda: tokens.compare(args.minutes, args.threads, args.repeats),),
        "training": (lambda: step_benchmark.compare(args.threads, args.repeats, args.items),),
        "files": (lambda: files.compare(args.minutes),),
    }
    for name in args.only:
        for compare in parts[name]:
            sys.stdout.write(f"\n{compare()}")
            sys.stdout.flush()

"""`stacodec report`: one HTML page about an experiment."""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `stacodec report`."""
    parser.set_defaults(work=report)
    parser.add_argument("experiment", type=Path, metavar="EXP", help="with decode/ of stage 6")
    parser.add_argument(
        "--compare", type=Path, nargs="+", default=[], metavar="EXP2", help="other experiments"
    )
    parser.add_argument("--set", help="which decoded set (default: the first)")
    parser.add_argument(
        "--decode", default="decode", help="folder of stage 6 in each experiment (default: decode)"
    )
    parser.add_argument("--model_file", help="checkpoint of EXP; the best one if not given")
    parser.add_argument(
        "--dump_dir",
        type=Path,
        help="originals (default: dump/raw of the training, found from EXP)",
    )
    parser.add_argument("--out", type=Path, help="the page (default: EXP/decode/report.html)")
    parser.add_argument(
        "--curve_utterances",
        type=int,
        default=20,
        help="on which fidelity is measured at each bitrate (default: 20)",
    )
    parser.add_argument("--nj", type=int, default=1, help="processes at a time (default: 1)")


def report(args: argparse.Namespace) -> None:
    """Write the page, and print its path."""
    from espnet_stacodec.config import choose
    from espnet_stacodec.evaluation.report.page import write_report
    from espnet_stacodec.evaluation.report.system import System, datasets_of
    from espnet_stacodec.parallel import Workers

    folders = [args.experiment, *args.compare]
    dataset = args.set or datasets_of(args.experiment, args.decode)[0]
    for folder in folders:
        choose(dict.fromkeys(datasets_of(folder, args.decode)), dataset, f"{folder}: --set")
    files = [args.model_file, *[None] * len(args.compare)]
    systems = [
        System(folder, dataset, args.decode, args.dump_dir, file)
        for folder, file in zip(folders, files, strict=True)
    ]
    out = args.out or args.experiment / args.decode / "report.html"
    with Workers(args.nj) as workers:
        path = write_report(systems, out, workers, args.curve_utterances)
    sys.stdout.write(f"{path.resolve()}\n")

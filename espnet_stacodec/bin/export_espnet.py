"""Write codes as ESPnet's own asr2.sh or slu.sh reads them, and print how to call it."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from espnet_stacodec.bin import _cli
from espnet_stacodec.downstream.targets import TARGETS

SCRIPTS = {"asr2": "./asr2.sh", "slu1": "./slu.sh"}


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", required=True, choices=SCRIPTS, help="which of ESPnet's")
    parser.add_argument("--codes_dir", type=Path, required=True, help="EXP/codes of a codec")
    parser.add_argument("--train_set", required=True, help="set of codes_dir")
    parser.add_argument("--valid_set", required=True, help="set of codes_dir")
    parser.add_argument("--test_sets", nargs="+", required=True, help="sets of codes_dir")
    parser.add_argument(
        "--dumpdir", type=Path, default=Path("dump"), help="of ESPnet's recipe (default: dump)"
    )
    parser.add_argument("--codebooks", help="counted from 1, e.g. 1, 1-8 or 1,3-4 (default: 1)")
    parser.add_argument(
        "--deduplicate",
        action=argparse.BooleanOptionalAction,
        help="leave out frames that repeat the one before (default: for asr2)",
    )
    parser.add_argument(
        "--target",
        choices=TARGETS,
        help="target text of the model (default: words for asr2, intent_words for slu1)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    from espnet_stacodec.downstream.espnet_dumps import export_asr2, export_slu1

    chosen = {
        "codebooks": args.codebooks,
        "deduplicated": args.deduplicate,
        "target": args.target,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    sets = [args.train_set, args.valid_set, *args.test_sets]
    export = export_asr2 if args.recipe == "asr2" else export_slu1
    options = export(args.codes_dir, sets, args.dumpdir, **given)
    command = [SCRIPTS[args.recipe], *options, "--dumpdir", str(args.dumpdir)]
    command += ["--train_set", args.train_set, "--valid_set", args.valid_set]
    command += ["--test_sets", " ".join(args.test_sets)]
    sys.stdout.write(f"{shlex.join(command)}\n")


if __name__ == "__main__":
    main()

"""Print one table of what several systems reach: reconstruction, word errors, intents."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from espnet_stacodec.bin import _cli


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--system",
        nargs="+",
        action="append",
        required=True,
        metavar=("NAME", "RESULTS_JSON"),
        help="a row: its name, and results.json of a codec's, ASR's, SLU's experiments",
    )
    parser.add_argument("--dataset", required=True, help="the set whose scores are shown")
    parser.add_argument("--out", type=Path, required=True, help="Markdown file to write, too")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    from espnet_stacodec.evaluation.summary import summarize_systems
    from espnet_stacodec.fileio.files import write_text

    systems = {name: [Path(path) for path in paths] for name, *paths in args.system}
    table = summarize_systems(systems, args.dataset)
    write_text(args.out, table)
    sys.stdout.write(table)


if __name__ == "__main__":
    main()

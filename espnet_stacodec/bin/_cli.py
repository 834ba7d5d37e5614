"""What every command does around its work: parse, set up logging, end in one clear sentence."""

import argparse
import contextlib
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence

from espnet_stacodec.errors import STACodecError


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that every command has."""
    parser.add_argument(
        "--log_level",
        default="INFO",
        type=str.upper,
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
        help="what is logged (default: INFO)",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def run(
    work: Callable[[argparse.Namespace], None],
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None = None,
) -> None:
    """Parse `argv`, call `work(args)`, and exit with status 1 and one sentence on an error.

    Errors that are nobody's fault but the input's (STACodecError, OSError) are said in one
    sentence; --debug shows the traceback as well. Anything else is a bug and is shown whole.
    """
    if not any(isinstance(action, argparse._SubParsersAction) for action in parser._actions):
        add_common_arguments(parser)
    args = parser.parse_args(argv)
    logging.basicConfig(level=args.log_level, format="%(asctime)s %(levelname)s: %(message)s")
    # ESPnet's imports make torch say so at each start; it is nothing a user can change.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
    try:
        work(args)
    except (STACodecError, OSError) as error:
        if args.debug:
            raise
        sys.exit(f"{parser.prog}: error: {error}")


@contextlib.contextmanager
def errors_in_one_sentence(command: str) -> Iterator[None]:
    """Exit with status 1 and one sentence on an error of the input, in a command of ESPnet."""
    try:
        yield
    except (STACodecError, OSError) as error:
        kind = f"{type(error).__module__}.{type(error).__name__}: "
        # An error in a data loader's process has that process's traceback before it.
        sentence = str(error).strip().split("\n")[-1].removeprefix(kind)
        sys.exit(f"{command}: error: {sentence}")

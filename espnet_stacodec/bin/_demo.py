"""`stacodec demo`: a local web page to try a codec on."""

import argparse
import importlib.util
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from espnet_stacodec.bin import _cli
from espnet_stacodec.errors import ConfigError

PACKAGES = ("starlette", "uvicorn", "websockets")
DEFAULT_PORT = 7860


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `stacodec demo` beside the model's."""
    parser.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        help=f"of 127.0.0.1; 0 for any that is free (default: {DEFAULT_PORT})",
    )


def serve(args: argparse.Namespace, source: Callable[[argparse.Namespace], Path | str]) -> None:
    """Serve the page until Ctrl-C; `source` finds the codec that the options mean."""
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"the page needs the package {package}, which is not installed; pip install"
                " 'espnet_stacodec[demo]'."
            )
    from espnet_stacodec.demo.server import listen, serve
    from espnet_stacodec.inference.audio_coding import AudioCoding

    # The port first: it is known at once whether it is free, and loading takes seconds.
    with listen(args.port) as listening:
        codec = AudioCoding.from_pretrained(source(args), args.device, args.model_file)
        try:
            serve(codec, args.model, listening)
        except KeyboardInterrupt:
            logging.info("The page is closed.")
            sys.exit(_cli.INTERRUPTED)

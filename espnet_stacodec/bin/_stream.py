"""`stacodec encode --stream` and `decode --stream`: from standard input to standard output."""

import argparse
import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_stacodec.bin import _cli

if TYPE_CHECKING:
    from espnet_stacodec.inference.audio_coding import AudioCoding

# Options that a stream does not have, and their defaults.
FILE_OPTIONS = {
    **{"root": None, "nj": 1, "batch_size": 1, "overwrite": False, "strict": False},
    "format": "wav",
}
Source = Callable[[argparse.Namespace], Path | str]


def encode(args: argparse.Namespace, source: Source) -> None:
    """Encode raw audio as it comes; `source` finds the codec that the options mean."""
    from espnet_stacodec.inference.pipes import encode_pipe

    codec = _codec(args, source)
    with _breaking_off(), _pipes() as (audio, codes):
        encode_pipe(codec, audio, codes, args.n_codebooks)


def decode(args: argparse.Namespace, source: Source) -> None:
    """Decode a stream of codes as it comes; see `encode`."""
    from espnet_stacodec.inference.pipes import decode_pipe

    codec = _codec(args, source)
    with _breaking_off(), _pipes() as (codes, audio):
        decode_pipe(codec, codes, audio)


@contextlib.contextmanager
def _pipes() -> Iterator[tuple[io.FileIO, io.FileIO]]:
    """Open standard input and output without a buffer.

    What a buffer holds would be written at the end of the process, waiting for who reads it.
    """
    with (
        io.FileIO(sys.stdin.fileno(), "rb", closefd=False) as source,
        io.FileIO(sys.stdout.fileno(), "wb", closefd=False) as sink,
    ):
        yield source, sink


@contextlib.contextmanager
def _breaking_off() -> Iterator[None]:
    """Say what Ctrl-C leaves of a stream, which cannot go on as work on files does."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("\nstacodec: interrupted; the stream breaks off here.\n")
        sys.exit(_cli.INTERRUPTED)


def _codec(args: argparse.Namespace, source: Source) -> "AudioCoding":
    """Load the codec of a stream.

    Raises:
        ConfigError: If the options are not those of a stream, or it cannot be loaded.
    """
    from espnet_stacodec.errors import ConfigError
    from espnet_stacodec.inference.audio_coding import AudioCoding

    if args.inputs != ["-"]:
        raise ConfigError("--stream reads standard input: give - as the only input.")
    given = [name for name, value in FILE_OPTIONS.items() if getattr(args, name, value) != value]
    if given:
        raise ConfigError(f"--stream takes no --{given[0]}, which is for files; leave it out.")
    return AudioCoding.from_pretrained(
        source(args), args.device, args.model_file, precision=args.precision
    )

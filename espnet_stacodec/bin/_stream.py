"""`stacodec encode --stream` and `decode --stream`: from standard input to standard output."""

import argparse
import contextlib
import io
import os
import select
import signal
import sys
from collections.abc import Buffer, Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, Self

from espnet_stacodec.bin import _cli
from espnet_stacodec.fileio.waiting import wait

if TYPE_CHECKING:
    from espnet_stacodec.inference.audio_coding import AudioCoding

# Options that a stream does not have, and their defaults.
FILE_OPTIONS = {
    **{"root": None, "nj": 1, "batch_size": 1, "overwrite": False, "strict": False},
    "format": "wav",
}
Source = Callable[[argparse.Namespace], Path | str]


def encode(args: argparse.Namespace, source: Source) -> None:
    """Encode raw audio as it comes, until Ctrl-C; `source` finds the codec that is meant."""
    from espnet_stacodec.inference.pipes import encode_pipe

    with _breaking_off():
        codec = _codec(args, source)
        with _UntilCtrlC(sys.stdin.fileno()) as audio, _output() as codes:
            encode_pipe(codec, audio, codes, args.n_codebooks)
        if audio.is_over:
            _interrupted("ends here, complete with what was read")


def decode(args: argparse.Namespace, source: Source) -> None:
    """Decode a stream of codes as it comes; see `encode`."""
    from espnet_stacodec.inference.pipes import decode_pipe

    with _breaking_off():
        codec = _codec(args, source)
        with io.FileIO(sys.stdin.fileno(), closefd=False) as codes, _output() as audio:
            decode_pipe(codec, codes, audio)


class _UntilCtrlC(io.FileIO):
    """A file to read that ends at the first Ctrl-C, too; the second one is raised as usual.

    So a stream gets its end from who ends a microphone by Ctrl-C.

    Attributes:
        is_over: It was ended so.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, closefd=False)
        self.is_over = False

    def __enter__(self) -> Self:
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        # Without it, a signal that comes just before a wait would be noticed after it.
        self._wake_before = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        # Where it is ignored, as in the background of a script, it stays so.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._end)
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if signal.getsignal(signal.SIGINT) == self._end:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.set_wakeup_fd(self._wake_before)
        for end in (self._woken, self._wake):
            os.close(end)
        self.close()
        if self.is_over and isinstance(error, BrokenPipeError):
            # Of two commands in a row, Ctrl-C has ended the other one, too.
            raise KeyboardInterrupt from None

    def readinto(self, space: Buffer) -> int | None:
        """Wait for data, and read them; 0 at the end."""
        while not self.is_over:
            ready = wait(select.POLLIN, self, self._woken)
            if self._woken in ready:
                os.read(self._woken, 64)  # the numbers of signals
            elif (size := super().readinto(space)) is not None:
                return size
        return 0

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.is_over = True
        signal.signal(number, signal.default_int_handler)


def _output() -> io.FileIO:
    """Open standard output without a buffer, which the process would write when it is ended."""
    return io.FileIO(sys.stdout.fileno(), "wb", closefd=False)


@contextlib.contextmanager
def _breaking_off() -> Iterator[None]:
    """Say what Ctrl-C leaves of a stream, which cannot go on as work on files does."""
    try:
        yield
    except KeyboardInterrupt:
        _interrupted("breaks off here")


def _interrupted(what: str) -> NoReturn:
    sys.stderr.write(f"\nstacodec: interrupted; the stream {what}.\n")
    sys.exit(_cli.INTERRUPTED)


def _codec(args: argparse.Namespace, source: Source) -> "AudioCoding":
    """Load the codec of a stream.

    Raises:
        ConfigError: If the options are not those of a stream, it cannot be loaded, or there is
            nothing to read from or to write to.
    """
    from espnet_stacodec.errors import ConfigError
    from espnet_stacodec.inference.audio_coding import AudioCoding

    for name, file in (("input", sys.__stdin__), ("output", sys.__stdout__)):
        if file is None:
            raise ConfigError(
                f"--stream needs standard input and output, and standard {name} is closed; give it"
                " a pipe or a file."
            )
    if args.inputs != ["-"]:
        raise ConfigError("--stream reads standard input: give - as the only input.")
    given = [name for name, value in FILE_OPTIONS.items() if getattr(args, name, value) != value]
    if given:
        raise ConfigError(f"--stream takes no --{given[0]}, which is for files; leave it out.")
    return AudioCoding.from_pretrained(
        source(args), args.device, args.model_file, precision=args.precision
    )

"""Read and write pipes as their data come, also those that are made not to wait.

Whoever shares a pipe can do that at any time, and by accident: it is a property of the pipe, not of
a process. What has not arrived yet would then be taken for the end.
"""

import select
from collections.abc import Iterator
from typing import Any, BinaryIO

READ_BYTES = 1 << 16


def arriving(source: BinaryIO) -> Iterator[bytes]:
    """Yield what has arrived, at least a byte, until the end."""
    space = bytearray(READ_BYTES)
    # A file's `read` would wait until it has as much as it was asked for; and `read1` gives b"" at
    # the end and where nothing has arrived, which `readinto1` tells apart.
    any_source: Any = source
    readinto = getattr(any_source, "readinto1", None) or any_source.readinto
    while (size := readinto(space)) != 0:
        if size is None:
            wait(select.POLLIN, source)
        else:
            yield bytes(space[:size])


def send(sink: BinaryIO, data: bytes) -> None:
    """Write all of `data`, as soon as there is room for it, and keep none in a buffer."""
    left = memoryview(data)
    while left:
        try:
            written = sink.write(left)
        except BlockingIOError as full:  # of a buffer
            written = full.characters_written
            wait(select.POLLOUT, sink)
        if written is None:  # of a file without a buffer
            written = 0
            wait(select.POLLOUT, sink)
        left = left[written:]
    while True:
        try:
            return sink.flush()
        except BlockingIOError:
            wait(select.POLLOUT, sink)


def wait(event: int, *files: BinaryIO | int) -> list[int]:
    """Wait until a file or descriptor can be read (POLLIN) or written (POLLOUT); return which."""
    poll = select.poll()
    for file in files:
        poll.register(file, event)
    return [descriptor for descriptor, _ in poll.poll()]

"""Pipes that are made not to wait: a stall is no end, and nothing is lost."""

import fcntl
import io
import os
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from espnet_stacodec.fileio.waiting import arriving, send

DATA = np.random.default_rng(0).bytes(300_000)
BUFFERS = (0, 100, 1 << 20)  # bytes; none, and smaller and larger than what is read or written


@pytest.fixture
def ends() -> tuple[int, int]:
    """Both ends of a small pipe; the tests close them."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    return reader, writer


def beside(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize("buffering", BUFFERS)
def test_reading(ends, buffering):
    reader, writer = ends
    os.set_blocking(reader, False)

    def write() -> None:
        for begin, end in ((0, 1), (1, 5000), (5000, len(DATA))):
            time.sleep(0.05)
            with os.fdopen(writer, "wb", closefd=end == len(DATA)) as file:
                file.write(DATA[begin:end])

    thread = beside(write)
    with os.fdopen(reader, "rb", buffering) as source:
        pieces = list(arriving(source))
    thread.join()
    assert len(pieces[0]) == 1
    assert b"".join(pieces) == DATA


@pytest.mark.parametrize("buffering", BUFFERS)
def test_writing(ends, buffering):
    reader, writer = ends
    os.set_blocking(writer, False)
    read = bytearray()

    def listen() -> None:
        while came := os.read(reader, 1000):
            time.sleep(0.0005)
            read.extend(came)

    thread = beside(listen)
    with os.fdopen(writer, "wb", buffering) as sink:
        send(sink, DATA)
        send(sink, b"")
        send(sink, b"the end")
    thread.join()
    os.close(reader)
    assert bytes(read) == DATA + b"the end"


def test_what_has_no_descriptor():
    sink = io.BytesIO()
    for piece in arriving(io.BytesIO(DATA)):
        send(sink, piece)
    assert sink.getvalue() == DATA

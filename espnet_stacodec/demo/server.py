"""Serving the page to this machine."""

import logging
import socket

import uvicorn
from starlette.types import ASGIApp
from typeguard import typechecked

from espnet_stacodec.demo.app import build_app
from espnet_stacodec.demo.coder import Coder
from espnet_stacodec.demo.limits import MAX_MESSAGE_BYTES
from espnet_stacodec.errors import ConfigError
from espnet_stacodec.inference.audio_coding import AudioCoding

HOST = "127.0.0.1"
HIGHEST_PORT = 65535
GRACE_SECONDS = 2
MAX_CONNECTIONS = 64


@typechecked
def listen(port: int) -> socket.socket:
    """Return a socket that listens on this machine only; browsers wait until it is served.

    Args:
        port: 0 for any that is free.

    Raises:
        ConfigError: If it cannot be had.
    """
    if not 0 <= port <= HIGHEST_PORT:
        raise ConfigError(f"--port {port} is no port; they are 1 to {HIGHEST_PORT}, 0 for any.")
    listening = socket.socket()
    # Else the port of a page that has just ended is in use for a minute.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"port {port} of {HOST} cannot be used ({error.strerror}); give another --port, or 0"
            " for any that is free."
        ) from error
    return listening


def make_server(app: ASGIApp) -> uvicorn.Server:
    """Return what serves an application; errors are logged."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            ws="websockets-sansio",
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_per_message_deflate=False,
            limit_concurrency=MAX_CONNECTIONS,
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )


@typechecked
def serve(codec: AudioCoding, name: str, listening: socket.socket) -> None:
    """Serve the page of a codec until Ctrl-C, which raises KeyboardInterrupt.

    Args:
        codec: The codec.
        name: What the page calls it.
        listening: From `listen`.

    Raises:
        STACodecError: If the codec cannot encode.
    """
    coder = Coder(codec)
    server = make_server(build_app(coder, name))
    host, port = listening.getsockname()
    logging.info(
        "The page is at http://%s:%d/ (for this machine only); Ctrl-C ends it.", host, port
    )
    try:
        server.run([listening])
    finally:
        coder.close()

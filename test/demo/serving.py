"""Pages that are really served."""

import contextlib
import threading

from espnet_stacodec.demo.server import listen, make_server


@contextlib.contextmanager
def serving(app):
    """Yield the address of an application that is really served."""
    with listen(0) as listening:
        server = make_server(app)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield "{}:{}".format(*listening.getsockname())
        finally:
            server.should_exit = True
            thread.join()

"""The page, and what it asks for.

| request        | gets                     | returns                                              |
|----------------|--------------------------|------------------------------------------------------|
| `GET /`        |                          | the page                                             |
| `POST /encode` | an audio file            | JSON, see `Coder.encode`                             |
| `POST /decode` | JSON: `codes`, `samples` | `samples` samples (`pcm`) of as many codebooks       |
| `/stream`      | a websocket              | see `live`                                           |

The server keeps nothing: a page has the codes, and sends those back that it wants to hear. It says
which codec it is of, `?codec=FINGERPRINT`. What fails is answered with JSON: `error`, one sentence.
"""

import asyncio
import importlib.resources
import json
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any

import jinja2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from typeguard import typechecked

from espnet_stacodec import __version__
from espnet_stacodec.demo.coder import Coder
from espnet_stacodec.demo.guard import Guard
from espnet_stacodec.demo.limits import MAX_UPLOAD_BYTES
from espnet_stacodec.demo.live import serve_recording
from espnet_stacodec.errors import DataError, STACodecError

TEMPLATES = "espnet_stacodec.demo"
# The report's style is the base of this page's.
REPORT = "espnet_stacodec.evaluation.report"
# In this order: each uses what those before it declare.
SCRIPTS = ("samples.js", "drawing.js", "players.js", "asking.js", "recording.js", "page.js")
# Loaded by the page where it records.
WORKLET = "recorder.js"


@typechecked
def build_app(coder: Coder, name: str) -> Guard:
    """Return the ASGI application of a codec's page.

    Args:
        coder: The codec.
        name: What the page calls it.
    """
    demo = _Demo(coder, name)
    style = _text(REPORT, "page.css") + _text(TEMPLATES, "demo.css")
    texts = {name: _text(TEMPLATES, name) for name in (*SCRIPTS, WORKLET)}
    app = Starlette(
        routes=[
            Route("/", demo.page),
            Route("/page.css", _constant("text/css", style)),
            *(
                Route(f"/{name}", _constant("text/javascript", text))
                for name, text in texts.items()
            ),
            Route("/encode", demo.encode, methods=["POST"]),
            Route("/decode", demo.decode, methods=["POST"]),
            WebSocketRoute("/stream", demo.stream),
        ],
        exception_handlers={
            STACodecError: _refuse,
            HTTPException: _refuse,
            ClientDisconnect: _refuse,  # a page that was closed: nobody reads it
        },
    )
    return Guard(app)


class _Demo:
    """The answers."""

    def __init__(self, coder: Coder, name: str) -> None:
        self.coder = coder
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader(TEMPLATES, "templates"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        facts = coder.describe()
        self._page = environment.get_template("page.html.j2").render(
            name=name,
            codec=coder.codec,
            facts=facts,
            data=json.dumps(facts),
            scripts=SCRIPTS,
            version=__version__,
        )

    async def page(self, request: Request) -> Response:
        return HTMLResponse(self._page)

    async def encode(self, request: Request) -> Response:
        return await _unless_closed(self._encode(request))

    async def decode(self, request: Request) -> Response:
        return await _unless_closed(self._decode(request))

    async def stream(self, websocket: WebSocket) -> None:
        await serve_recording(websocket, self.coder)

    async def _encode(self, request: Request) -> Response:
        content = await self._body(request)
        return JSONResponse(await self.coder.run(self.coder.encode, content))

    async def _decode(self, request: Request) -> Response:
        try:
            asked = json.loads(await self._body(request))
        except (ValueError, RecursionError) as error:
            raise DataError("what is to be decoded is no JSON.") from error
        if not isinstance(asked, dict):
            asked = {}
        audio = await self.coder.run(self.coder.decode, asked.get("codes"), asked.get("samples"))
        return Response(audio, media_type="application/octet-stream")

    async def _body(self, request: Request) -> bytes:
        """Return what was sent.

        Raises:
            HTTPException: If it is too much.
            DataError: If the page is of another codec.
        """
        self.coder.check_page(request.query_params.get("codec"))
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MAX_UPLOAD_BYTES:
                raise HTTPException(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"this file is larger than {MAX_UPLOAD_BYTES // 10**6} MB, the most that is"
                    " taken here; encode it with `stacodec encode`.",
                )
        return bytes(body)


async def _unless_closed(answer: Coroutine[Any, Any, Response]) -> Response:
    """Return an answer, or that there is none: Ctrl-C cancels what takes longer than it waits."""
    try:
        return await answer
    except asyncio.CancelledError:
        said = {"error": "the server is being closed."}
        return JSONResponse(said, HTTPStatus.SERVICE_UNAVAILABLE)


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code)
    return JSONResponse({"error": str(error)}, HTTPStatus.BAD_REQUEST)


def _text(package: str, name: str) -> str:
    return importlib.resources.files(package).joinpath("templates", name).read_text("utf-8")


def _constant(kind: str, text: str) -> Any:
    """Return what answers with the same text each time."""

    async def answer(request: Request) -> Response:
        return Response(text, media_type=kind)

    return answer

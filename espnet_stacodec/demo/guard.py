"""Who may use the page: browsers of this machine that show it, and no page of another site."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

HOSTS = ("127.0.0.1", "localhost")
# Nothing comes from elsewhere; audio is played from memory.
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; media-src blob:; img-src data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class Guard:
    """Refuses what other sites send, and adds the headers that keep the page to itself.

    A site can let its name mean 127.0.0.1 (DNS rebinding): then the host is not one of this
    machine. It can send requests and open websockets: then the origin is not the page.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif reason := _reason_to_refuse(scope):
            refusal = (
                WebSocketClose(reason=reason)
                if scope["type"] == "websocket"
                else PlainTextResponse(reason, 403)
            )
            await refusal(scope, receive, send)
        else:
            await self.app(scope, receive, _with_headers(send))


def _reason_to_refuse(scope: Scope) -> str:
    headers = Headers(scope=scope)
    hosts, origins = headers.getlist("host"), headers.getlist("origin")
    # The port may be another one: that of a tunnel.
    if len(hosts) != 1 or hosts[0].lower().rsplit(":", 1)[0] not in HOSTS:
        return f"This page is at {' or '.join(HOSTS)} only."
    expected = [f"http://{hosts[0]}".lower()]
    given = [origin.lower() for origin in origins]
    # Browsers name the origin of every websocket, and of what other sites post.
    if given != expected and (given or scope["type"] == "websocket"):
        return "Another page than this one asked for it."
    return ""


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return send_with_headers

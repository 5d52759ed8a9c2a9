"""
The headers of every response of the shop, and the requests that it refuses.

A form of another site cannot post here. `SameSite=Lax` keeps most of them out already, but not a
page on another port of the same host, which counts as the same site. So a request that changes
something must come from a page of this very origin, and browsers say where it comes from. This
needs no token in the forms, and no session for a visitor who only looks; `coatcheck.csrf` has
tokens for applications that cannot count on such browsers.

Source: Fetch Metadata (W3C) for Sec-Fetch-Site; RFC 6454, 7 for Origin.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    # Not "no-referrer": browsers then post our own forms with "Origin: null".
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """An application that answers the forms of its own pages alone."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        app = self.app
        if scope["method"] not in _SAFE and is_foreign(Headers(scope=scope)):
            app = PlainTextResponse("This form was sent by a page of another site.\n", 403)
        await app(scope, receive, send_guarded)


def is_foreign(headers: Headers) -> bool:
    """Tell whether a browser says that a page of another origin made the request."""
    if fetched := headers.get("sec-fetch-site"):
        return fetched not in ("same-origin", "none")
    # Browsers send no Sec-Fetch-Site over plain HTTP, but for this computer itself.
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] != headers.get("host")

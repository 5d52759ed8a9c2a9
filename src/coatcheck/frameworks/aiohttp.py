"""
Sessions in aiohttp's server, which is neither ASGI nor WSGI.

    setup(app, cookie, storage)
    get_session(request)["user"] = "ada"

The way of a request is that of `coatcheck.asgi`, which sees one that starts, ends and has no body.
A response is saved when the handler returns or raises it, a stream or a WebSocket when the handler
prepares it; what such a handler changes later is saved at its end. The headers go to whatever
response is sent in the end, also to one that a middleware put in its place.

A body that is an asynchronous iterator runs after its handler: a change there raises
`ResponseStarted`. Use a `StreamResponse` for that.
"""

from typing import Any, Unpack

from aiohttp import web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict

from coatcheck import asgi
from coatcheck._cookie.cookie import Cookie
from coatcheck._cookie.headers import Header, amended
from coatcheck._request.cycle import FAILED, Cycle
from coatcheck._request.options import Options
from coatcheck._session.session import Session
from coatcheck.errors import ConfigurationError
from coatcheck.storage.protocol import SessionStorage

SESSION = web.RequestKey("session", Session)
"""Where a request has its session: `request[SESSION]`."""


def get_session(request: web.Request) -> Session:
    """
    Return the session of a request; it is `request[SESSION]`, too.

    Raises:
        ConfigurationError: `setup` was not called, or a middleware asks that was added before it.
    """
    found: Session | None = request.get(SESSION)
    if found is None:
        raise ConfigurationError(
            "this request has no Session: call setup() before the application starts, and before "
            "you add the middlewares that ask for it"
        )
    return found


def setup(
    app: web.Application,
    cookie: Cookie,
    storage: SessionStorage,
    **options: Unpack[Options],
) -> None:
    """
    Give an application sessions, inside the middlewares that it has already.

    The arguments are those of `coatcheck.session`. What the storage opened is closed when the
    application is cleaned up.

    Raises:
        ConfigurationError: The cookie is not sealed, or an option makes no sense.
    """
    cycle = Cycle(
        cookie,
        storage,
        **options,
    )
    shell = asgi.SessionMiddleware.of(_serve, cycle)

    @web.middleware
    async def sessions(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await Visit(request, handler).through(shell)

    async def close(_: web.Application) -> None:
        await shell({"type": "lifespan"}, _nothing, _ignore)

    app.middlewares.append(sessions)
    app.on_response_prepare.append(_prepare)
    app.on_cleanup.append(close)


class Visit:
    """One request on its way through the ASGI shell."""

    def __init__(self, request: web.Request, handler: Handler) -> None:
        self._request = request
        self._handler = handler
        self._response: web.StreamResponse | None = None
        self._raised: Exception | None = None
        self._socket: web.WebSocketResponse | None = None
        self._begun = False
        self._headers: list[Header] = []

    async def through(self, shell: asgi.SessionMiddleware) -> web.StreamResponse:
        """Return or raise what the handler does."""
        request = self._request
        scope: dict[str, Any] = {
            "type": "http",
            "scheme": request.scheme,
            "path": request.path,
            "headers": [(name.lower(), value) for name, value in request.raw_headers],
            IN_SCOPE: self,
        }
        if SESSION in request:
            scope[asgi.PLACE] = request[SESSION]  # for the shell to refuse
        await shell(scope, _nothing, self._take)
        if self._session.blank is None:
            self._session.draft.reach = "nothing"
        if self._raised is not None:
            raise self._raised
        assert self._response is not None  # noqa: S101 - the shell returns only when `serve` does
        return self._response

    async def serve(self, scope: asgi.Scope, send: asgi.Send) -> None:
        """Let the handler answer: this is the application in the shell."""
        self._scope, self._send = scope, send
        self._session = self._request[SESSION] = scope[asgi.PLACE]
        self._request[VISIT] = self
        try:
            self._response = await self._handler(self._request)
            await self._begin(self._response.status)
        except web.HTTPException as answer:
            await self._begin(answer.status)
            self._raised = answer
        except Exception as error:
            await self._begin(FAILED)
            if not (self._socket and self._socket.closed):
                raise
            self._raised = error  # it may only say that the client has left, and is no failure

    async def prepare(self, response: web.StreamResponse) -> None:
        """Give the headers to the response that is about to leave."""
        if not self._begun:
            if isinstance(response, web.WebSocketResponse):
                self._socket = response
            await self._begin(response.status)
        if self._headers:
            _amend(response.headers, dict(self._headers).get(b"set-cookie"))

    async def _begin(self, status: int) -> None:
        """Save the session, if that is still to be done."""
        if not self._begun:
            self._begun = True
            self._scope[asgi.PLACE] = self._request.get(SESSION)
            await self._send({"type": "http.response.start", "status": status, "headers": ()})

    async def _take(self, message: asgi.Message) -> None:
        """Keep what the shell adds to the headers."""
        self._headers = list(message["headers"])


VISIT = web.RequestKey("visit", Visit)
IN_SCOPE = "coatcheck.visit"


async def _serve(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
    if scope["type"] == "lifespan":
        await send({"type": "lifespan.shutdown.complete"})
    else:
        await scope[IN_SCOPE].serve(scope, send)


async def _prepare(request: web.Request, response: web.StreamResponse) -> None:
    visit = request.get(VISIT)
    if visit is not None:
        await visit.prepare(response)


def _amend(headers: CIMultiDict[str], set_cookie: bytes | None) -> None:
    given = [
        (name.encode(), value.encode(errors="surrogateescape")) for name, value in headers.items()
    ]
    changed = amended(given, set_cookie.decode() if set_cookie else None)
    headers.clear()
    for name, value in changed:
        headers.add(name.decode(), value.decode(errors="surrogateescape"))


async def _nothing() -> asgi.Message:
    return {}


async def _ignore(_: asgi.Message) -> None:
    return None

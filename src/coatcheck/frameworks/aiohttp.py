"""
Sessions in aiohttp's server, which is neither ASGI nor WSGI.

    setup(app, cookie, storage)
    get_session(request)["user"] = "ada"

A response is saved when the handler returns or raises it, a stream or a WebSocket when the handler
prepares it; what such a handler changes later is saved at its end. The headers go to whatever
response is sent in the end, also to one that a middleware put in its place.

A body that is an asynchronous iterator runs after its handler: a change there raises
`ResponseStarted`. Use a `StreamResponse` for that.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from typing import Any, TypeVar, Unpack, cast

from aiohttp import web
from aiohttp.payload import Payload
from aiohttp.typedefs import Handler, Middleware
from multidict import CIMultiDict

from coatcheck import csrf as tokens
from coatcheck._cookie.cookie import Cookie
from coatcheck._cookie.headers import joined_cookies
from coatcheck._request.async_shell import AsyncShell
from coatcheck._request.bound_guard import refusal
from coatcheck._request.cycle import FAILED, Cycle
from coatcheck._request.options import Options
from coatcheck._request.request_visit import RequestVisit
from coatcheck._request.text_headers import amended_text
from coatcheck._request.visit import NOTHING, Answer, Changes
from coatcheck._session.session import Session
from coatcheck.errors import ConfigurationError
from coatcheck.storage.protocol import SessionStorage

__all__ = ["SESSION", "csrf", "get_session", "require_bound", "setup"]

View = TypeVar("View", bound=Callable[..., Awaitable[web.StreamResponse]])

SESSION = web.RequestKey("session", Session)
"""The key of the session in a request: `request[SESSION]`."""


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


def require_bound() -> Callable[[View], View]:
    """
    Return a decorator for handlers of sessions that are bound to a device.

    See `coatcheck.require_bound`. It takes functions of a request, methods, and those of a
    `web.View`.

        @routes.post("/transfers")
        @require_bound()
        async def transfer(request): ...
    """

    def decorated(handler: View) -> View:
        @wraps(handler)
        async def guarded(*args: Any) -> web.StreamResponse:
            request = args[-1].request if isinstance(args[-1], web.View) else args[-1]
            answer = refusal(get_session(request), request.method)
            if answer is None:
                return await handler(*args)
            headers = CIMultiDict(answer.headers)
            return web.Response(status=answer.status, headers=headers, body=answer.body)

        return cast("View", guarded)

    return decorated


def csrf(
    *,
    header: str = "x-csrf-token",
    field: str = "csrf",
    bypass: Sequence[str] = (),
    refused: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None,
) -> Middleware:
    """
    Return a middleware that asks for the token of the session with each unsafe request.

        setup(app, cookie, storage)
        app.middlewares.append(csrf())

    The token comes in a header, or in a field of an urlencoded form; an upload needs the header.

    Args:
        header: The header that may carry the token.
        field: The field of a form that may carry it.
        bypass: Beginnings of paths that are not checked, such as `("/hooks/",)`.
        refused: A handler that answers instead; None: 403.

    Raises:
        ConfigurationError: A name is empty, or a path is none.
    """
    rules = tokens.csrf(header=header, field=field, bypass=bypass)

    @web.middleware
    async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not rules.passes(request.method, request.path):
            given = request.headers.get(rules.header) or await _field_in(request, rules.field)
            if not tokens.is_held(get_session(request), given):
                if refused is not None:
                    return await refused(request)
                raise web.HTTPForbidden(text=tokens.REFUSAL.decode())
        return await handler(request)

    return checked


async def _field_in(request: web.Request, field: str) -> object:
    """Return a field of an urlencoded form; the handler reads the form again."""
    if request.content_type != "application/x-www-form-urlencoded":
        return None
    try:
        return (await request.post()).get(field)
    except (LookupError, ValueError):  # no such charset, or other bytes than it says
        return None


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
    shell = AsyncShell(Cycle(cookie, storage, **options))

    @web.middleware
    async def sessions(request: web.Request, handler: Handler) -> web.StreamResponse:
        visit = _Visit(shell, request)
        answer = await shell.read(visit)
        if answer is None:
            return await visit.serve(handler)
        raise _sent_at_once(answer)

    sessions._cycle = shell.cycle  # type: ignore[attr-defined] # for SessionKit.of

    async def prepare(request: web.Request, response: web.StreamResponse) -> None:
        visit = request.get(VISITS, {}).get(shell)
        if visit is not None:
            await visit.prepare(response)

    async def close(_: web.Application) -> None:
        await shell.close()

    app.middlewares.append(sessions)
    app.on_response_prepare.append(prepare)
    app.on_cleanup.append(close)


class _Visit(RequestVisit):
    """One request, and what its session adds to the headers of the response."""

    _changes: Changes | None = None  # None: nothing was saved yet
    _time_passed = False  # since the save
    _runs = True  # the handler does
    _socket: web.WebSocketResponse | None = None

    def __init__(self, shell: AsyncShell, request: web.Request) -> None:
        super().__init__(request)
        self.shell = shell
        self.request = request
        self.cookies = joined_cookies((name.lower(), it) for name, it in request.raw_headers)

    def attach(self) -> None:
        self._outer = self.request.get(SESSION)
        self.shell.cycle.check_outer(self._outer)
        self.request[SESSION] = self.session
        self.request.setdefault(VISITS, {})[self.shell] = self

    def replaced(self) -> bool:
        there = self.request.get(SESSION)
        return all(visit.session is not there for visit in self.request[VISITS].values())

    async def serve(self, handler: Handler) -> web.StreamResponse:
        """Return or raise what the handler does."""
        failed = False
        try:
            response = await handler(self.request)
            await self._leave(response)
        except web.HTTPException as answer:
            failed = answer.status >= FAILED
            await self._leave(answer)
            raise
        except BaseException as error:
            failed = not self._client_left(error)
            raise
        else:
            return response
        finally:
            self._runs = False
            await self.shell.end(self, failed=failed)
            if self._outer is not None:
                self.request[SESSION] = self._outer

    async def prepare(self, response: web.StreamResponse) -> None:
        """Give the headers to the response that is about to leave."""
        if isinstance(response, web.WebSocketResponse):
            self._socket = response
        await self._leave(response)
        changes = self._changes or NOTHING
        if self._time_passed:
            changes = await self.shell.recheck(self, changes)
        if self.session._accessed or self._may_read(response):
            changes = changes._replace(vary=True)
        if changes != NOTHING:
            pairs = amended_text(response.headers.items(), changes)
            response.headers.clear()
            response.headers.extend(pairs)

    async def _leave(self, response: web.StreamResponse) -> None:
        """Save, if that is still to be done."""
        if self._changes is None:
            self._changes = NOTHING  # also if the save raises: another response is sent then
            cookies = [("Set-Cookie", it.OutputString()) for it in response.cookies.values()]
            headers = [*response.headers.items(), *cookies]  # aiohttp joins them later
            failed = response.status >= FAILED
            try:
                self._changes = await self.shell.leave(self, failed=failed, headers=headers)
                if self._changes.instead is not None:
                    _put_instead(response, self._changes.instead)
            finally:
                self.session._accessed = False  # from here on: by what another page reads
            if self._changes.set_cookies:
                asyncio.get_running_loop().call_soon(self._note_time)

    def _note_time(self) -> None:
        self._time_passed = True

    def _may_read(self, response: web.StreamResponse) -> bool:
        """Tell whether code that may read the session makes the body."""
        if isinstance(response, web.Response):
            return isinstance(response.body, Payload) and response.body.size is None
        return self._runs and not isinstance(response, web.FileResponse | web.WebSocketResponse)

    def _client_left(self, error: BaseException) -> bool:
        """Tell whether *error* only says that the client left after it got the headers."""
        if self._changes is None:
            return False
        transport, socket = self.request.transport, self._socket
        gone = transport is None or transport.is_closing() or (socket is not None and socket.closed)
        return gone or isinstance(error, asyncio.CancelledError)


class _SentAtOnce(web.HTTPException):
    """The exception that is raised to answer with a response of our own."""

    status_code = 503  # a class must have one; each response has its own
    empty_body = True  # until it is set


def _put_instead(response: web.StreamResponse, answer: Answer) -> None:
    """
    Send an answer in place of a response; a stream that is being prepared keeps its body.

    Raises:
        _SentAtOnce: Another response than a stream is to be sent.
    """
    if isinstance(response, web.Response | web.WebSocketResponse):
        raise _sent_at_once(answer)
    response._set_status(answer.status, None)  # the public method counts it as sent already
    response.headers.update(answer.headers)
    response.headers.popall("Content-Length")


def _sent_at_once(answer: Answer) -> _SentAtOnce:
    response = _SentAtOnce(headers=CIMultiDict(answer.headers))
    response.set_status(answer.status)
    response.body = answer.body
    return response


VISITS = web.RequestKey("visits", dict[AsyncShell, _Visit])

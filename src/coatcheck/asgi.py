"""
Sessions for ASGI applications.

    app = SessionMiddleware(app, cookie, storage)

A request over HTTP or a WebSocket gets `scope["session"]`, which is `scope["coatcheck.session"]`,
too; everything else passes through. The session is saved when the headers are about to leave, and
once more at the end if a storage can still take what changed since. When the application has shut
down, what the storage opened is closed.
"""

# Annotations stay text: those of a function inside another one are made on each call.
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, Unpack

import msgspec

from coatcheck._cookie.cookie import Cookie
from coatcheck._cookie.headers import amended, joined_cookies, varying
from coatcheck._cookie.hidden import Hidden
from coatcheck._cookie.sealing import Opened
from coatcheck._request.asgi_types import ASGIApp, Message, Receive, Scope, Send
from coatcheck._request.async_shell import AsyncShell
from coatcheck._request.cycle import FAILED, Cycle, Due, middleware_of
from coatcheck._request.options import Options
from coatcheck._request.shell import Shell
from coatcheck._request.visit import NOTHING, VARY, Answer, Changes, Theirs, Visit
from coatcheck._session.session import Session, showing
from coatcheck.context import Context
from coatcheck.storage.protocol import SessionStorage

PLACE, ALIAS = "coatcheck.session", "session"
"""The keys of the session in a scope; Starlette's `request.session` looks at the second one."""

STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
"""Messages that carry headers to the client."""

DISCONNECTS = frozenset({"http.disconnect", "websocket.disconnect"})

SERVED = frozenset({"http", "websocket"})

SHUT_DOWN = "lifespan.shutdown."

NOBODY = Session()

__all__ = ["ASGIApp", "Message", "Receive", "Scope", "Send", "SessionMiddleware", "reload", "save"]


class SessionMiddleware:
    """
    An ASGI application with sessions.

    Args:
        app: The application; it finds the session in `scope["session"]`.
        cookie: Signed or encrypted.
        storage: A plain one is called in a worker thread, unless it never waits.
        options: Those of `coatcheck.session`.

    Raises:
        ConfigurationError: The cookie is not sealed, or an option makes no sense.
    """

    def __init__(
        self,
        app: ASGIApp,
        cookie: Cookie,
        storage: SessionStorage,
        **options: Unpack[Options],
    ) -> None:
        self._set_up(app, Cycle(cookie, storage, **options))

    @classmethod
    def _of(cls, app: ASGIApp, cycle: Cycle) -> SessionMiddleware:
        """Return *app* with the sessions of *cycle*: for `coatcheck.session`."""
        middleware = cls.__new__(cls)
        cls._set_up(middleware, app, cycle)
        return middleware

    def _set_up(self, app: ASGIApp, cycle: Cycle) -> None:
        self.app = app
        self._cycle = cycle
        self._shell = AsyncShell(cycle)
        self._in_place = Shell(cycle) if cycle.in_place else None
        self._begins_empty = cycle.begins_empty

    async def __call__(  # noqa: PLR0912 - a call for the cookies costs what a session does
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve one request, connection or lifespan."""
        kind = scope["type"]
        if kind not in SERVED:
            await self.app(scope, receive, self._closing(send) if kind == "lifespan" else send)
            return
        if ALIAS in scope or PLACE in scope:
            scope = self._nested(scope)
        cycle = self._cycle
        cookies = None
        for name, value in scope["headers"]:
            if name == b"cookie":
                if cookies is not None:  # HTTP/2 may split it (RFC 9113, 8.2.3)
                    cookies = joined_cookies(scope["headers"])
                    break
                cookies = value.decode("latin-1")
        connection = Connection(self, cycle, scope, receive, send, cookies)
        if cookies is None and self._begins_empty:
            connection.session = scope[PLACE] = scope[ALIAS] = showing(cycle.visitor)
        else:
            if cycle.skip and cycle.passes_over(connection):
                await self.app(connection.scope, receive, send)
                return
            # They hold an id, and error reporters print the locals of a frame.
            value = b""
            del scope, cookies
            shell = self._in_place
            answer = shell.read(connection) if shell else await self._shell.read(connection)
            if answer is not None:
                await _send_answer(send, kind, answer)
                return
        try:
            await self.app(connection.scope, connection.receive, connection.send)
            if connection.held is not None:
                await connection.flush()
        except BaseException as error:
            await self._fail(connection, error)
            raise
        draft = connection.session._draft
        if draft.touched:
            await self._end(connection)
        elif draft is not cycle.late_visitor:
            cycle.end(connection.session)

    def _nested(self, scope: Scope) -> Scope:
        """
        Return a scope of our own, within the middleware that has attached another session.

        Raises:
            ConfigurationError: It is a session of our own cookie.
        """
        self._cycle.check_outer(scope.get(PLACE))
        return dict(scope)

    async def _end(self, connection: Connection) -> None:
        draft = connection.session._draft
        if connection.scope["type"] == "websocket" and draft.reach == "client":
            self._cycle.never_start(connection)
        await self._shell.end(connection)

    async def _fail(self, connection: Connection, error: BaseException) -> None:
        """End a request that failed; an error that only says that the client left is no failure."""
        gone = connection.left or isinstance(error, asyncio.CancelledError)
        left = gone and connection.session._draft.reach != "client"
        await self._shell.end(connection, failed=not left)

    def _closing(self, send: Send) -> Send:
        """Return *send*, which closes the storage when the application has shut down."""

        async def send_and_close(message: Message) -> None:
            if message["type"].startswith(SHUT_DOWN):
                await self._shell.close()
            await send(message)

        return send_and_close


class Connection(Hidden, Visit, msgspec.Struct):
    """A request or a WebSocket, between the server and the application."""

    middleware: SessionMiddleware
    cycle: Cycle
    scope: Scope
    client: Receive
    server: Send
    cookies: str | None
    session: Session = NOBODY  # until it is read
    opened: Opened | None = None
    others: tuple[str, ...] = ()
    theirs: Theirs | None = None
    held: Message | None = None  # the start of a response whose body may still read the session
    left: bool = False  # whether the client has left

    @property
    def method(self) -> str:
        method: str = self.scope.get("method", "")
        return method

    @property
    def path(self) -> str:
        root: str = self.scope.get("root_path", "")
        path: str = self.scope.get("path", "")
        return path if path.startswith(root) else root + path  # servers differ

    @property
    def scheme(self) -> str:
        return str(self.scope.get("scheme", ""))

    @property
    def host(self) -> str:
        return self.header("host")

    def header(self, name: str) -> str:
        wanted = name.encode()
        found = (value for field, value in self.scope["headers"] if field == wanted)
        return next(found, b"").decode("latin-1")

    def attach(self) -> None:
        self.scope[PLACE] = self.scope[ALIAS] = self.session

    def replaced(self) -> bool:
        there = self.scope.get(ALIAS)
        if there is self.session or type(there) not in (dict, type(None)):
            return False
        # An application that is mounted in this one may bring sessions of its own.
        return not self.scope.get("root_path") and "app_root_path" not in self.scope

    async def receive(self) -> Message:
        """Pass a message of the client on."""
        message = await self.client()
        if message["type"] in DISCONNECTS:
            self.left = True
        return message

    def send(  # noqa: PLR0911 - a call for the first message costs what it does
        self, message: Message
    ) -> Awaitable[None]:
        """Pass a message to the client on; the one with the headers after the session is saved."""
        session = self.session
        if message["type"] not in STARTS:
            if self.held is None and not session._draft.touched:
                return self.server(message)
            return self._send_later(message)
        cycle = self.cycle
        if session._draft is cycle.visitor and self.scope.get(ALIAS) is session:
            session._draft = cycle.late_visitor
            if session._accessed:
                return self.server({**message, "headers": varying(message.get("headers", ()))})
            for name, _ in message.get("headers", ()):
                if name == b"content-length":
                    return self.server(message)
            return self._begin(message)
        headers = message.get("headers", ())
        due = cycle.leaving(self, headers, failed=message.get("status", 0) >= FAILED)
        if due:
            shell = self.middleware._in_place
            if shell is not None:
                return self._start_with(message, shell.carry_out(self, due))
            return self._start_due(message, due)
        if session._accessed:
            return self.server({**message, "headers": varying(headers)})
        return self._begin(message)

    async def _start_due(self, message: Message, due: Due) -> None:
        """Do what is due before the headers leave, and send them."""
        changes = await self.middleware._shell.carry_out(self, due)
        await self._start_with(message, changes)

    def _start_with(self, message: Message, changes: Changes) -> Awaitable[None]:
        """Send the message that starts the response, with these changes of its headers."""
        if changes.instead is not None:
            send, self.server = self.server, _drop
            return _send_answer(send, self.scope["type"], changes.instead)
        if changes is NOTHING:
            return self._begin(message)
        headers = _amended(message.get("headers", ()), changes)
        return self.server({**message, "headers": headers})

    def _begin(self, message: Message) -> Awaitable[None]:
        """Send the start of a response that has nothing of the session so far."""
        if message["type"] == "http.response.start":
            for name, _ in message.get("headers", ()):
                if name == b"content-length":
                    break  # the body is made already
            else:
                self.held = message
                return _nothing_yet()
        return self.server(message)

    async def flush(self, *, streams: bool = False) -> None:
        """
        Send the start of a response that was held back until its first part came.

        A server waits for that, too, before it sends the headers (ASGI, "Response Start").

        Args:
            streams: More parts follow, and the code that makes them may still read the session.
        """
        message, self.held = self.held, None
        assert message is not None  # noqa: S101 - the callers have looked
        if streams or self.session._accessed:
            message = {**message, "headers": _amended(message.get("headers", ()), VARY)}
        await self._send_watched(message)

    async def _send_later(self, message: Message) -> None:
        """Pass on what comes after the start, which may have been held back."""
        if self.held is not None:
            await self.flush(streams=message.get("more_body", False))
        await self._send_watched(message)

    async def _send_watched(self, message: Message) -> None:
        """Pass a message on; a server answers OSError when there is no client (ASGI 2.4)."""
        try:
            await self.server(message)
        except OSError:
            self.left = True
            raise


async def _drop(_: Message) -> None:
    """Send nothing of a response that another one took the place of."""


async def _nothing_yet() -> None:
    """Send nothing: the message is held back."""


async def save(scope: Scope) -> None:
    """
    Save what the request did to its session so far, before the response.

    A cookie that this makes due leaves with the response, also with one that failed. What is saved
    stays saved, whatever becomes of the request.

    Args:
        scope: Of the request or WebSocket, such as Starlette's `request.scope`.

    Raises:
        BackendError, SessionConflict, UnstorableValue, RecordTooLarge: The changes are not kept
            yet; the end of the request saves them, if it can.
        ConfigurationError: There is no session in *scope*.
    """
    session = Context(scope).get(Session)
    await _shell_of(session).save(session)


async def reload(scope: Scope) -> None:
    """
    Read the session again, after what changed so far is saved.

    If the session ended meanwhile, it is new and empty afterwards. At a WebSocket or in a response
    that has begun, a change to such a session raises `ResponseStarted`.

    Args:
        scope: Of the request or WebSocket, such as Starlette's `websocket.scope`.

    Raises:
        BackendError: The session stays as it is; else as `save`.
        ConfigurationError: There is no session in *scope*.
    """
    session = Context(scope).get(Session)
    await _shell_of(session).reload(session)


def _shell_of(session: Session) -> AsyncShell:
    return AsyncShell(middleware_of(session))


def _amended(headers: Any, changes: Changes) -> list[tuple[bytes, bytes]]:
    if changes is VARY:
        return varying(headers)
    changed = amended(headers, changes.set_cookies, private=changes.private)
    if changes.headers:
        changed += _encoded(changes.headers)
    return changed


async def _send_answer(send: Send, kind: str, answer: Answer) -> None:
    """Send a response in place of the application's; a WebSocket is refused."""
    if kind == "websocket":
        await send({"type": "websocket.close", "code": 1013})  # try again later (RFC 6455 registry)
        return
    headers = _encoded(answer.headers)
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Return headers as ASGI wants them: names in lower case ("Response Start")."""
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]

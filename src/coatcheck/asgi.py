"""
The asynchronous shell: an ASGI middleware that carries out the cycle.

    app = SessionMiddleware(app, cookie, storage)

HTTP and WebSocket requests get `scope["session"]`; everything else passes through. The session is
saved when the headers are about to leave, and once more at the end if a storage can still take what
changed since. When the application has shut down, what the storage opened is closed.
"""

# Annotations stay text: those of a function inside another one are made anew on each call, and
# took 0.2 of the 1.7 µs of a request that brings no cookie.
from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Unpack, cast

from coatcheck._cookie.cookie import Cookie
from coatcheck._cookie.headers import amended
from coatcheck._cookie.sealing import Opened
from coatcheck._request.asgi_types import ASGIApp, Line, Message, Receive, Scope, Send
from coatcheck._request.cycle import FAILED, Cycle, Due, is_async
from coatcheck._request.eager import begin
from coatcheck._request.options import Options
from coatcheck._request.shield import Outliving
from coatcheck._session.session import Session
from coatcheck.errors import BackendError
from coatcheck.storage.protocol import SessionStorage

PLACE = "session"

STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
"""Messages that carry headers to the client."""

SERVED = frozenset({"http", "websocket"})

SHUT_DOWN = "lifespan.shutdown."

__all__ = ["ASGIApp", "Message", "Receive", "Scope", "Send", "SessionMiddleware"]


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
    def of(cls, app: ASGIApp, cycle: Cycle) -> SessionMiddleware:
        """Return *app* with the sessions of *cycle*: for `coatcheck.session`."""
        middleware = cls.__new__(cls)
        cls._set_up(middleware, app, cycle)
        return middleware

    def _set_up(self, app: ASGIApp, cycle: Cycle) -> None:
        self.app = app
        self.cycle = cycle
        self.storage = getattr(cycle.storage, "aio", None) or cycle.storage
        waits = getattr(self.storage, "waits", True)
        self._in_thread = waits and not is_async(self.storage)
        self._starts_empty = getattr(self.storage, "starts_empty", False)
        self._seldom_waits = getattr(self.storage, "seldom_waits", False)
        self._outliving = Outliving()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, connection or lifespan."""
        kind = scope["type"]
        if kind not in SERVED:
            await self.app(scope, receive, self._closing(send) if kind == "lifespan" else send)
            return
        header = None
        for name, value in scope["headers"]:
            if name == b"cookie":  # HTTP/2 may send several (RFC 9113, 8.2.3)
                header = value if header is None else b"; ".join((header, value))
        cycle = self.cycle
        opened = None if header is None else cycle.cookie.open(header.decode("latin-1"))
        scope = dict(scope)
        if opened is None and self._starts_empty:
            session = cycle.begin(scope, PLACE)
        else:
            session = cycle.admit(await self._read(opened), scope, PLACE)

        def send_saved(message: Message) -> Awaitable[None]:
            if message["type"] in STARTS:
                if session.accessed or session.blank is None or scope.get(PLACE) is not session:
                    return self._start(send, scope, session, opened, message)
                session.blank = cycle.late_blank
            return send(message)

        if kind == "websocket":
            await self._converse(scope, receive, send_saved, session)
            return
        await self.app(scope, receive, send_saved)
        if session.blank is None:
            await self._finish(session)

    def _closing(self, send: Send) -> Send:
        """Return *send*, which closes the storage when the application has shut down."""

        async def send_and_close(message: Message) -> None:
            if message["type"].startswith(SHUT_DOWN):
                for storage in dict.fromkeys((self.storage, self.cycle.storage)):
                    closed = storage.close() if hasattr(storage, "close") else None
                    if inspect.isawaitable(closed):
                        await closed
            await send(message)

        return send_and_close

    async def _read(self, opened: Opened | None) -> object:
        value = opened.text if opened else None
        try:
            if value and self._in_thread:
                return await asyncio.to_thread(self.storage.read, value)
            found = self.storage.read(value)
            return await found if hasattr(found, "__await__") else found
        except BackendError as error:
            return self.cycle.outages.unread(error)

    def _start(
        self, send: Send, scope: Scope, session: Session, opened: Opened | None, message: Message
    ) -> Awaitable[None]:
        """Send the message that starts the response, with what the session adds to its headers."""
        failed = message.get("status", 0) >= FAILED
        due = self.cycle.leaves(session, scope, PLACE, opened, failed=failed)
        if due:
            answered = self._answered(due, scope, session, opened)
            return _start_answered(send, message, session, answered)
        return send(_amended(message, session, None))

    async def _answered(
        self, due: Due, scope: Scope, session: Session, opened: Opened | None
    ) -> str | None:
        """Do what is due, and return the Set-Cookie header value that the response needs."""
        cycle = self.cycle
        try:
            value = await self._save(session) if due == "save" else None
            set_cookie = cycle.answer(session, value, opened)
        except BaseException:
            cycle.abandon(session)  # the answer to this error is sent without a session
            raise
        cycle.started(session)
        if set_cookie and opened is None:
            cycle.drops.in_scope(scope)
        return set_cookie

    async def _converse(self, scope: Scope, receive: Receive, send: Send, session: Session) -> None:
        """Serve a WebSocket; an error that only says that the client has left is no failure."""
        line = Line(receive, send)
        try:
            await self.app(scope, line.receive, line.send)
        except Exception:
            if line.closed:
                await self._finish(session)
            raise
        if session.blank is None and session.draft.reach == "client":
            self.cycle.never_start(session)
        await self._finish(session)

    async def _finish(self, session: Session) -> None:
        """Save what changed after the headers left; what changes from here on is loud."""
        if session.blank is None:
            if self.cycle.is_late(session):
                await self._save(session)
            session.draft.reach = "nothing"

    async def _save(self, session: Session) -> str | None:
        """Save; once begun, a save goes on to its end, whatever becomes of the request."""
        try:
            if self._in_thread:
                save = cast("Callable[[Session], str | None]", self.storage.save)
                return await self._outliving.wait(asyncio.to_thread(save, session))
            value = self.storage.save(session)
            if self._seldom_waits:
                value = begin(cast("Coroutine[Any, Any, str | None]", value))
            if value is None or isinstance(value, str):
                return value
            return await self._outliving.wait(value)
        except BackendError as error:
            self.cycle.outages.unsaved(session, error)
            return None


async def _start_answered(
    send: Send, message: Message, session: Session, answered: Awaitable[str | None]
) -> None:
    await send(_amended(message, session, await answered))


def _amended(message: Message, session: Session, set_cookie: str | None) -> Message:
    if not (session.accessed or set_cookie):
        return message
    return {**message, "headers": amended(message.get("headers", ()), set_cookie)}

"""
The middleware of Litestar's plugin: sessions, and what Litestar's own words do to them.

    request.set_session({"user": "ada"})   the session holds this, and nothing else
    request.clear_session()                the session ends

Both put something else into the scope, in place of the session. It is taken over when the response
starts, and, for what comes later, at the end of the request.
"""

from collections.abc import Awaitable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, cast

import msgspec
from litestar.middleware.session import SessionMiddleware
from litestar.serialization import default_serializer
from litestar.types import Empty, Receive, Scope, Send
from litestar.types.asgi_types import ASGIApp

from coatcheck import asgi
from coatcheck._cookie.tracebacks import hides_arguments
from coatcheck._request.cycle import Cycle
from coatcheck._session.session import Session, Value
from coatcheck.errors import ConfigurationError
from coatcheck.frameworks.message_lists import give_back

MESSAGES = "_messages"
"""The key under which Litestar's FlashPlugin keeps its messages."""


class PluginMiddleware(SessionMiddleware[Any]):
    """
    Sessions around one route of an application.

    It is a subclass of Litestar's own only in name, because Litestar's FlashPlugin looks for that.

    Args:
        exclude: Patterns of paths that have no sessions.
        exclude_opt_key: The key of a handler's `opt` by which it has none.
    """

    def __init__(
        self,
        app: ASGIApp,
        cycle: Cycle,
        exclude: str | list[str] | None,
        exclude_opt_key: str | None,
    ) -> None:
        super(SessionMiddleware, self).__init__(app, exclude, exclude_opt_key)
        # Litestar writes the types of ASGI in another way.
        self._with_sessions: Any = asgi.SessionMiddleware._of(cast("Any", self._watched), cycle)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        served = self._with_sessions(scope, receive, send)
        del scope  # its headers hold an id, and error reporters print the locals of a frame
        await served

    async def _watched(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the session hold what a handler put into its place, before a message leaves."""
        place = _Place(cast("asgi.Scope", scope))

        def watched_send(message: Any) -> Awaitable[None]:
            place.restore()
            return send(message)

        served = self.app(scope, receive, cast("Send", watched_send))
        del scope  # as above
        await served
        place.restore()


class _Place:
    """The key of the session in a scope; a handler may put something else there."""

    def __init__(self, scope: asgi.Scope) -> None:
        self._scope = scope
        self._session: Session = scope[asgi.PLACE]

    @hides_arguments
    def restore(self) -> None:
        """
        Put the session back, with what was put into its place.

        Raises:
            ConfigurationError: That cannot be the values of a session.
            UnstorableValue: A value is of a type that no session holds.
        """
        there = self._scope[asgi.ALIAS]
        if there is not self._session:
            self._scope[asgi.ALIAS] = self._session
            _hold(self._session, there, self._scope)
        if self._scope.get("method") == "HEAD":
            give_back(self._session, MESSAGES)


def _hold(session: Session, given: Any, scope: asgi.Scope) -> None:
    if given is Empty or given is None:
        session.destroy()
        return
    values = _values_of(given, scope)
    for key in list(session):
        if key not in values:
            del session[key]
    session.update(values)


def _values_of(given: Any, scope: asgi.Scope) -> Mapping[str, Value]:
    """Return what a dict, or an object of a model that Litestar knows, says of a session."""
    if isinstance(given, Mapping):
        return given
    encoders = scope["litestar_app"].type_encoders
    plain = msgspec.to_builtins(
        given,
        builtin_types=(bytes, datetime),
        enc_hook=partial(default_serializer, type_encoders=encoders),
    )
    if not isinstance(plain, dict):
        raise ConfigurationError(
            f"set_session() takes a dict or an object of a model, got {type(given).__name__}"
        )
    return plain

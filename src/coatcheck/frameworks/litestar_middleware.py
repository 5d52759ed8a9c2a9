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
from coatcheck._request.cycle import Cycle
from coatcheck._session.session import Session, Value
from coatcheck.errors import ConfigurationError


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
        await self._with_sessions(scope, receive, send)

    async def _watched(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the session hold what a handler put into its place, before a message leaves."""
        places = cast("asgi.Scope", scope)
        session: Session = places[asgi.PLACE]

        def watched_send(message: Any) -> Awaitable[None]:
            _take_over(places, session)
            return send(message)

        await self.app(scope, receive, cast("Send", watched_send))
        _take_over(places, session)


def _take_over(scope: asgi.Scope, session: Session) -> None:
    """
    Put the session back, with what was put into its place.

    Raises:
        ConfigurationError: That cannot be the values of a session.
        UnstorableValue: A value is of a type that no session holds.
    """
    there = scope[asgi.ALIAS]
    if there is session:
        return
    scope[asgi.ALIAS] = session
    if there is Empty or there is None:
        session.destroy()
        return
    values = _values_of(there, scope)
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

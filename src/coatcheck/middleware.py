"""
`session()`: sessions for any application, ASGI or WSGI.

    app = coatcheck.session(cookie, storage)(app)
    app.wsgi_app = coatcheck.session(cookie, storage).wsgi(app.wsgi_app)
"""

from collections.abc import Sequence
from typing import Any

from coatcheck import asgi, wsgi
from coatcheck._cookie.cookie import Cookie
from coatcheck._model.schema import Schema
from coatcheck._request.adoption import Reader
from coatcheck._request.bound import Bound
from coatcheck._request.cycle import Cycle
from coatcheck._request.events import OnEvent
from coatcheck._request.outages import OnOutage
from coatcheck.storage.arguments import Duration
from coatcheck.storage.protocol import SessionStorage
from coatcheck.users import Users

__all__ = ["Sessions", "session"]


def session(
    cookie: Cookie,
    storage: SessionStorage,
    *,
    idle: Duration | None = None,
    lifetime: Duration | None = None,
    refresh: float = 0.1,
    rotate: Duration | None = None,
    on_outage: OnOutage = "raise",
    skip: Sequence[str] = (),
    data: type[Any] | Schema[Any] | None = None,
    user_key: str | None = None,
    adopts: Sequence[Reader] = (),
    bound: Bound | None = None,
    on_event: OnEvent | None = None,
    users: Users | None = None,
) -> "Sessions":
    """
    Return a middleware that gives an application sessions.

    Args:
        cookie: The session cookie; it must be signed or encrypted.
        storage: Where sessions are kept. WSGI needs a plain storage; ASGI takes either kind.
        idle: How long a session lives after its last use, in seconds or as a timedelta. None: the
            `max_age` of the cookie, or 14 days if it has none. More than 100 years counts as
            100 years, here and below.
        lifetime: How long a session lives at most, even if it is used, in seconds or as a
            timedelta. None: no limit. Neither a refresh nor a new id extends it.
        refresh: The share of *idle*, from 0 to 1, after which a request renews the deadline of the
            record and of the cookie. 0 renews them with each request, 1 never.
        rotate: Seconds, or a timedelta, after which a session in use gets a new id, at least 300
            seconds. Requests that still carry the old id go on for 15 minutes. None: never.
            `CookieStorage` refuses it.
        on_outage: What a request gets while the server of the storage fails. "raise": it fails with
            `BackendError`. "unavailable": it is answered with 503 and Retry-After. "anonymous": if
            its session cannot be read, it gets an empty session, which is not saved and does not
            change the cookie; a change that cannot be saved raises `BackendError`.
        skip: Beginnings of paths under which no session is read, such as `("/static/",)`. To use
            the session there raises `ConfigurationError`.
        data: The type of `session.data`: a dataclass, `msgspec.Struct`, TypedDict or pydantic
            model, every field with a default; or a `Schema` of one. None: `session.data` raises
            `ConfigurationError`.
        user_key: The key under which the application itself keeps the signed-in user, a text or an
            int, such as Flask-Login's "_user_id". Another value there is saved as
            `session.sign_in` of that user, with a new id; a removed, `None` or empty one takes the
            user away, with a new id, and keeps what the handler left. None: the application calls
            `session.sign_in`.
        adopts: Readers of the sessions of other packages, from `coatcheck.adopt`. A request without
            a session of ours gets the one that its old cookie leads to; it is kept once a handler
            looks at it, and the old cookie is removed.
        bound: Binds a session to the device on which its user signs in, where the browser can:
            a copy of its cookie is worth nothing then (extra `coatcheck[bound]`). None: no.
            `CookieStorage` refuses it.
        on_event: A function that is called with each `Event`: what happened to a session, when, and
            why. It is called in the task or thread of the request, so it must not wait. What it
            raises is logged. None: nothing is called.
        users: `Users(cookie, storage)`, of this cookie and this storage: `session.sign_in` enters
            the session in the list of the user, and `users` shows and ends them. None: no lists.

    Returns:
        `session(cookie, storage)(app)` wraps an ASGI application,
        `session(cookie, storage).wsgi(app)` a WSGI application.

    Raises:
        ConfigurationError: An argument is of another kind, the cookie is not sealed, or an option
            is out of its range.
    """
    return Sessions(
        Cycle(
            cookie,
            storage,
            idle=idle,
            lifetime=lifetime,
            refresh=refresh,
            rotate=rotate,
            on_outage=on_outage,
            skip=skip,
            data=data,
            user_key=user_key,
            adopts=adopts,
            bound=bound,
            on_event=on_event,
            users=users,
        )
    )


class Sessions:
    """
    The middleware that `session()` returns.

    Call it with an ASGI application, or call `wsgi` with a WSGI application. Both share one cookie,
    one storage and one set of options.
    """

    def __init__(self, cycle: Cycle) -> None:
        self._cycle = cycle

    def __call__(self, app: asgi.ASGIApp) -> asgi.SessionMiddleware:
        """Return the ASGI application *app* with sessions."""
        return asgi.SessionMiddleware._of(app, self._cycle)

    def wsgi(self, app: wsgi.WSGIApp) -> wsgi.SessionMiddleware:
        """
        Return the WSGI application *app* with sessions.

        Raises:
            ConfigurationError: The storage is asynchronous.
        """
        return wsgi.SessionMiddleware._of(app, self._cycle)

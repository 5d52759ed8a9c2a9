"""
`session()`: sessions for any application, ASGI or WSGI.

    app = session(cookie, storage)(app)
    app.wsgi_app = session(cookie, storage).wsgi(app.wsgi_app)
"""

from typing import Unpack

from coatcheck import asgi, wsgi
from coatcheck._cookie.cookie import Cookie
from coatcheck._request.cycle import Cycle
from coatcheck._request.options import Options
from coatcheck.storage.protocol import SessionStorage


def session(
    cookie: Cookie,
    storage: SessionStorage,
    **options: Unpack[Options],
) -> "Sessions":
    """
    Return a middleware that gives an application sessions.

    Args:
        cookie: Signed or encrypted.
        storage: Where sessions live.
        idle: Seconds that an unused session lives; None: the cookie's `max_age`, else 14 days.
        lifetime: Seconds that any session lives, used or not; None: no limit. Neither a refresh nor
            a new id extends it.
        refresh: The share of *idle*, from 0 to 1, after which record and cookie of a session in use
            are renewed.
        on_outage: What becomes of requests while the storage's server fails: "raise", they fail
            with `BackendError`; "anonymous", those whose session cannot be read are served as if
            nobody were signed in.
        data: What `session.data` is: a dataclass, `msgspec.Struct`, TypedDict or pydantic model,
            every field with a default; or a `Schema` of one.

    Raises:
        ConfigurationError: The cookie is not sealed, or an option makes no sense.
    """
    return Sessions(Cycle(cookie, storage, **options))


class Sessions:
    """What `session()` returns: call it with an ASGI application, or its `wsgi` with a WSGI one."""

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

"""
Sessions that are bound to a device: `Bound`, and `require_bound` for what only they may do.

    sessions = coatcheck.session(cookie, storage, bound=Bound(required=True))
    app = sessions(router)
    router.mount("/transfers", require_bound()(transfers))

See the page "Bind sessions to a device".
"""

from collections.abc import Iterable
from http import HTTPStatus

from coatcheck._request.asgi_types import ASGIApp, Receive, Scope, Send
from coatcheck._request.bound import Bound
from coatcheck._request.wsgi_types import Environ, StartResponse, WSGIApp
from coatcheck._session.binding import UNDER_WAY, binding_of
from coatcheck._session.session import Session
from coatcheck.errors import ConfigurationError

__all__ = ["Bound", "RequireBound", "require_bound"]

PLACE = "coatcheck.session"

_POLICY_VIOLATION = 1008  # RFC 6455, 7.4.1

_BODY = b"This page needs a session that is bound to this device.\n"

Headers = list[tuple[str, str]]


def require_bound() -> "RequireBound":
    """
    Return a middleware that refuses requests whose session is not bound to a device.

        router.mount("/transfers", require_bound()(transfers))
        app.wsgi_app = sessions.wsgi(require_bound().wsgi(app.wsgi_app))

    It must run inside of `session(..., bound=Bound(required=True))`. With `required=False` it lets
    everything pass, so one switch turns it on everywhere.

    A refused request gets a 403. In the first 30 seconds after a sign-in, while the browser may
    still register, the page loads itself again. A WebSocket is closed with code 1008.
    """
    return RequireBound()


class RequireBound:
    """
    The middleware that `require_bound()` returns.

    Call it with an ASGI application, or call `wsgi` with a WSGI application.
    """

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """Return the ASGI application *app*, guarded."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] not in ("http", "websocket"):
                await app(scope, receive, send)
                return
            refused = _refused(scope.get(PLACE), scope.get("method", ""))
            if refused is None:
                await app(scope, receive, send)
            elif scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            else:
                headers = [(name.encode(), value.encode()) for name, value in refused]
                await send({"type": "http.response.start", "status": 403, "headers": headers})
                await send({"type": "http.response.body", "body": _BODY})

        return guarded

    def wsgi(self, app: WSGIApp) -> WSGIApp:
        """Return the WSGI application *app*, guarded."""

        def guarded(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            refused = _refused(environ.get(PLACE), str(environ.get("REQUEST_METHOD", "")))
            if refused is None:
                return app(environ, start_response)
            start_response(f"403 {HTTPStatus.FORBIDDEN.phrase}", refused)
            return [_BODY]

        return guarded


def _refused(session: object, method: str) -> Headers | None:
    """
    Return the headers of the answer to a request that may not pass; None: it may.

    Raises:
        ConfigurationError: There is no session, or sessions are not bound.
    """
    if not isinstance(session, Session) or session._draft.terms.bound == "no":
        raise ConfigurationError(
            "require_bound() must run inside of session(cookie, storage, bound=Bound(...))"
        )
    if session._draft.terms.bound == "offered" or session.is_bound:
        return None
    headers = [("content-type", "text/plain; charset=utf-8"), ("content-length", str(len(_BODY)))]
    if method == "GET" and _may_register(session):
        headers.append(("refresh", "1"))
    return headers


def _may_register(session: Session) -> bool:
    """Tell whether the browser may be about to bind the session."""
    found = session._draft.found
    there = binding_of(found.record.body) if found else None
    return found is not None and there is not None and found.read_at < there.at + UNDER_WAY

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
from coatcheck._request.bound_guard import refusal
from coatcheck._request.wsgi_types import Environ, StartResponse, WSGIApp

__all__ = ["Bound", "RequireBound", "require_bound"]

PLACE = "coatcheck.session"

_POLICY_VIOLATION = 1008  # RFC 6455, 7.4.1


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
            refused = refusal(scope.get(PLACE), scope.get("method", ""))
            if refused is None:
                await app(scope, receive, send)
            elif scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            else:
                headers = [(name.encode(), value.encode()) for name, value in refused.headers]
                status = refused.status
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": refused.body})

        return guarded

    def wsgi(self, app: WSGIApp) -> WSGIApp:
        """Return the WSGI application *app*, guarded."""

        def guarded(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            refused = refusal(environ.get(PLACE), str(environ.get("REQUEST_METHOD", "")))
            if refused is None:
                return app(environ, start_response)
            start_response(f"403 {HTTPStatus.FORBIDDEN.phrase}", list(refused.headers))
            return [refused.body]

        return guarded

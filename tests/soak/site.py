"""
The application that is soaked, for servers in processes of their own.

    STORAGE=redis://127.0.0.1:6379     the URL of its storage
    uvicorn --factory tests.soak.site:asgi
    gunicorn 'tests.soak.site:wsgi()'

Every page answers with what the session holds, as JSON.
"""

import json
import os
from collections.abc import Iterable
from typing import Any

from coatcheck import Cookie, Session, asgi, session
from coatcheck.storage import storage_from_url
from coatcheck.wsgi import Environ, StartResponse, WSGIApp

COOKIE = Cookie("session", secrets=["a secret of the soak, which nobody guesses"], secure=False)


def sessions() -> Any:
    """Return the middleware over the storage that the environment names."""
    return session(COOKIE, storage_from_url(os.environ["STORAGE"]), rotate=300, refresh=0)


def visit(held: Session, path: str) -> dict[str, Any]:
    """Do what a path says to the session, and return what that holds."""
    _, page, *words = path.split("/")
    match page:
        case "in":
            held["user"] = words[0]
            held.regenerate_id()
        case "add":
            held.apply("count", lambda count: count + 1, 0)
            held.setdefault("entries", []).append(words[0])
        case "id":
            held.regenerate_id()
        case "out":
            held.destroy()
            return {}
    return dict(held)


def asgi_app() -> asgi.ASGIApp:
    """Return the application for an ASGI server."""

    async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        body = json.dumps(visit(scope["session"], scope["path"])).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    wrapped: asgi.ASGIApp = sessions()(app)
    return wrapped


def wsgi_app() -> WSGIApp:
    """Return the application for a WSGI server."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body = json.dumps(visit(environ["coatcheck.session"], environ["PATH_INFO"])).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    wrapped: WSGIApp = sessions().wsgi(app)
    return wrapped

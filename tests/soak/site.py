"""
The application that is soaked, for servers in processes of their own.

    STORAGE=redis://127.0.0.1:6379     the URL of its storage
    STORAGE=engine+mysql://…           the same, over an engine of the application
    uvicorn --factory tests.soak.site:asgi_app
    gunicorn 'tests.soak.site:wsgi_app()'

Every page answers with what the session holds, as JSON.
"""

import json
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from coatcheck import Cookie, Session, asgi, session
from coatcheck.storage import SqlStorage, storage_from_url
from coatcheck.wsgi import Environ, StartResponse, WSGIApp
from tests.engines import ASYNC, PLAIN, with_driver

COOKIE = Cookie("session", secrets=["a secret of the soak, which nobody guesses"], secure=False)

PACE = 10
"""How much faster the storage's clock is than others: ids are renewed every half minute."""

BEGINNING = 1_760_000_000
"""When all clocks showed the same."""

ENGINE = "engine+"


def fast_clock() -> float:
    """Return the time; every process has the same."""
    return BEGINNING + (time.time() - BEGINNING) * PACE


def sessions(engine_of: Callable[[str], Any], drivers: dict[str, str]) -> Any:
    """Return the middleware over the storage that the environment names."""
    url = os.environ["STORAGE"]
    if url.startswith(ENGINE):
        engine = engine_of(with_driver(url.removeprefix(ENGINE), drivers))
        storage: Any = SqlStorage(engine, clock=fast_clock)
    else:
        storage = storage_from_url(url, clock=fast_clock)
    return session(COOKIE, storage, rotate=30 * PACE, refresh=0)


def visit(held: Session, path: str) -> dict[str, Any]:
    """Do what a path says to the session, and return what that holds."""
    _, page, *words = path.split("/")
    match page:
        case "in":
            held["user"] = words[0]
            held.sign_in(words[0].partition("-")[0])
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

    wrapped: asgi.ASGIApp = sessions(create_async_engine, ASYNC)(app)
    return wrapped


def wsgi_app() -> WSGIApp:
    """Return the application for a WSGI server."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body = json.dumps(visit(environ["coatcheck.session"], environ["PATH_INFO"])).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    wrapped: WSGIApp = sessions(create_engine, PLAIN).wsgi(app)
    return wrapped

"""
The pages of `tests.served` as a WSGI application: `gunicorn 'tests.served_wsgi:make()'`.

    SESSIONS=/tmp/sessions/db    its SQLite database
    GATE=8123                    a port at which /wait waits until it may go on
"""

import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from coatcheck import Session, session
from coatcheck.storage import SqliteStorage
from coatcheck.wsgi import Environ, StartResponse, WSGIApp
from tests.served import COOKIE


def make() -> WSGIApp:
    """Return the application."""
    return session(COOKIE, SqliteStorage(os.environ["SESSIONS"])).wsgi(app)


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer one request."""
    held: Session = environ["coatcheck.session"]
    _, path, *rest = environ["PATH_INFO"].split("/")
    if path == "stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return stream(held)
    said = PAGES[path](held, *rest)
    if said is None:
        start_response("303 See Other", [("Location", "/held"), ("Content-Length", "0")])
        return [b""]
    body = json.dumps(said).encode()
    fields = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK", fields)
    return [body]


def sign_in(held: Session) -> None:
    held["user"] = "Ada"
    held.regenerate_id()
    held.flash("notice", "Welcome.")


def set_key(held: Session, key: str) -> bool:
    held[key] = True
    return True


def count(held: Session) -> Any:
    return held.apply("n", lambda n: n + 1, 0)


def show(held: Session) -> dict[str, Any]:
    return {"notice": held.get("notice"), **held}


def sign_out(held: Session) -> None:
    held.destroy()


def stream(held: Session) -> Iterator[bytes]:
    yield b"one"
    held["late"] = True
    yield b"two"


def wait(held: Session) -> str:
    """Tell whoever listens at the gate that a request is here, and wait for a word."""
    with socket.create_connection(("127.0.0.1", int(os.environ["GATE"]))) as gate:
        gate.sendall(b"here")
        gate.recv(2)
    held["waited"] = True
    return "done"


PAGES: dict[str, Callable[..., Any]] = {
    "sign-in": sign_in,
    "set": set_key,
    "count": count,
    "held": show,
    "sign-out": sign_out,
    "wait": wait,
}

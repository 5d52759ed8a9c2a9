"""
Beaker, over a bare WSGI application.

Sessions are JSON, which is safer than its default, pickle. `save_accessed_time` is off, so that a
read does not write; a server then forgets sessions by nothing but their cookie. A cookie is signed;
a stored session's id is signed, too.
"""

import json
from typing import Any

from beaker.middleware import SessionMiddleware

from benchmarks import work
from benchmarks.drivers import App, Wsgi
from benchmarks.place import Place
from benchmarks.subjects import Bare, Subject

NAMES = {"cookie": "signed cookie", "memory": "memory", "redis": "Redis"}
HEADERS = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "2")]
OWN = ("_accessed_time", "_creation_time", "_id", "_domain", "_path")
"""What Beaker keeps in every session beside the application's keys."""


def untouched(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", list(HEADERS))
    return [b"ok"]


def read(environ: Any, start_response: Any) -> list[bytes]:
    environ["beaker.session"].get("user_id")
    return untouched(environ, start_response)


def write(environ: Any, start_response: Any) -> list[bytes]:
    session = environ["beaker.session"]
    session.get("user_id")
    session["n"] = next(work.numbers)
    session.save()
    return untouched(environ, start_response)


def fill(environ: Any, start_response: Any) -> list[bytes]:
    session = environ["beaker.session"]
    session.update(work.filling)
    session.save()
    return untouched(environ, start_response)


def show(environ: Any, start_response: Any) -> list[bytes]:
    session = environ["beaker.session"]
    shown = {key: session[key] for key in session if key not in OWN}
    untouched(environ, start_response)
    return [json.dumps(shown).encode()]


HANDLERS = {"untouched": untouched, "read": read, "write": write, "fill": fill, "show": show}

BARE = Bare("wsgi", Wsgi(), lambda: untouched)


def subject(kind: str, place: Place) -> Subject:
    options = {
        "session.key": "session",
        "session.data_serializer": "json",
        "session.secure": True,
        "session.httponly": True,
        "session.cookie_expires": work.LIFE,
        "session.save_accessed_time": False,
        **_options(kind, place),
    }

    def make(handler: str) -> App:
        return SessionMiddleware(HANDLERS[handler], options)

    return Subject(f"beaker {kind}", f"Beaker, {NAMES[kind]}", make, BARE)


def _options(kind: str, place: Place) -> dict[str, Any]:
    if kind == "cookie":
        return {"session.type": "cookie", "session.validate_key": work.SECRET}
    if kind == "memory":
        return {"session.type": "memory", "session.secret": work.SECRET}
    return {
        "session.type": "ext:redis",
        "session.url": f"unix://{place.server('redis')}",
        "session.secret": work.SECRET,
    }

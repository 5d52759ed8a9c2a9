"""
Flask's own sessions, Flask-Session on Redis, and ours as WSGI middleware: over one bare Flask.

The bare Flask has a session interface that opens nothing and saves nothing, and ours runs around
it. So what counts for Flask's are `open_session`, `save_session` and all they call; for ours the
whole middleware.

Flask-Session saves every permanent session it has read, unless SESSION_REFRESH_EACH_REQUEST is
False. Without that option, as it comes, it is the row "with refresh".
"""

import json
from typing import Any

import flask
from flask.sessions import SessionInterface

from benchmarks import work
from benchmarks.drivers import App, Wsgi
from benchmarks.place import Place
from benchmarks.subjects import Bare, Subject

NAMES = {
    "own": "Flask, signed cookie",
    "session redis": "Flask-Session, Redis",
    "session redis refresh": "Flask-Session, Redis, with refresh",
    "coatcheck cookie": "coatcheck in Flask, signed cookie",
    "coatcheck redis": "coatcheck in Flask, Redis",
}


class NoSessions(SessionInterface):
    """Opens nothing: Flask then makes the session that refuses to be written."""

    def open_session(self, *_: object) -> None:
        return None


def application(handler: str, session: Any) -> flask.Flask:
    """Return a Flask whose handler finds its session by calling *session*."""
    app = flask.Flask("benchmark")
    app.session_interface = NoSessions()

    def untouched() -> str:
        return "ok"

    def read() -> str:
        session().get("user_id")
        return "ok"

    def write() -> str:
        found = session()
        found.get("user_id")
        found["n"] = next(work.numbers)
        return "ok"

    def fill() -> str:
        session().update(work.filling)
        return "ok"

    def show() -> str:
        return json.dumps({key: value for key, value in session().items() if key[0] != "_"})

    views = {"untouched": untouched, "read": read, "write": write, "fill": fill, "show": show}
    app.add_url_rule("/", view_func=views[handler])
    return app


BARE = Bare("flask", Wsgi(), lambda: application("untouched", None).wsgi_app)


def subject(kind: str, place: Place) -> Subject:
    make = _coatcheck(kind, place) if kind.startswith("coatcheck") else _flask(kind, place)
    ours = kind.startswith("coatcheck")
    return Subject(f"flask {kind}", NAMES[kind], make, BARE, ours=ours)


def _flask(kind: str, place: Place) -> Any:
    def make(handler: str) -> App:
        app = application(handler, lambda: flask.session)
        app.secret_key = work.SECRET
        app.config["SESSION_COOKIE_SECURE"] = True
        app.config["PERMANENT_SESSION_LIFETIME"] = work.LIFE
        if kind == "own":
            app.session_interface = flask.sessions.SecureCookieSessionInterface()
        else:
            _serve_from_redis(app, place, refresh=kind.endswith("refresh"))
        return app.wsgi_app

    return make


def _serve_from_redis(app: flask.Flask, place: Place, *, refresh: bool) -> None:
    from flask_session import Session
    from redis import Redis

    app.config["SESSION_TYPE"] = "redis"
    app.config["SESSION_REDIS"] = Redis(unix_socket_path=place.server("redis"))
    app.config["SESSION_REFRESH_EACH_REQUEST"] = refresh
    Session(app)


def _coatcheck(kind: str, place: Place) -> Any:
    from coatcheck import Cookie, session
    from coatcheck.storage import CookieStorage, RedisStorage

    if kind.endswith("redis"):
        from redis import Redis

        storage: Any = RedisStorage(Redis(unix_socket_path=place.server("redis")))
    else:
        storage = CookieStorage()
    sessions = session(Cookie("session", secrets=[work.SECRET], max_age=work.LIFE), storage)

    def make(handler: str) -> App:
        app = application(handler, lambda: flask.request.environ["coatcheck.session"])
        return sessions.wsgi(app.wsgi_app)

    return make

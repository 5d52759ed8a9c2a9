"""
Django's own sessions, over a bare Django with no middleware.

The database is SQLite in WAL mode, as ours, and its connection stays open. The cache is one of this
process, with room for all sessions, or Redis. Sessions are JSON, which is Django's default.
"""

import json
import sys
from types import ModuleType
from typing import Any

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.urls import path

from benchmarks import work
from benchmarks.drivers import App, Wsgi
from benchmarks.place import Place
from benchmarks.subjects import Bare, Subject

ENGINES = {"cookie": "signed_cookies", "database": "db"}
NAMES = {
    "cookie": "signed cookie",
    "database": "SQLite",
    "memory": "cache in memory",
    "redis": "cache in Redis",
}


def untouched(_: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


def read(request: HttpRequest) -> HttpResponse:
    request.session.get("user_id")
    return HttpResponse("ok")


def write(request: HttpRequest) -> HttpResponse:
    session = request.session
    session.get("user_id")
    session["n"] = next(work.numbers)
    return HttpResponse("ok")


def fill(request: HttpRequest) -> HttpResponse:
    request.session.update(work.filling)
    return HttpResponse("ok")


def show(request: HttpRequest) -> HttpResponse:
    return HttpResponse(json.dumps(dict(request.session.items())))


urlpatterns: list[object] = []
"""Each application has its own; Django asks for one of the settings all the same."""

VIEWS = {"untouched": untouched, "read": read, "write": write, "fill": fill, "show": show}


def application(handler: str, *middleware: str) -> App:
    """Return a Django of one view; settings are Django's only global, and read while it is made."""
    _configure()
    urls = ModuleType("urls")
    urls.urlpatterns = [path("", VIEWS[handler])]  # type: ignore[attr-defined]
    settings.MIDDLEWARE = list(middleware)
    app = WSGIHandler()
    app.request_class = type("Request", (WSGIRequest,), {"urlconf": urls})
    return app


BARE = Bare("django", Wsgi(), lambda: application("untouched"))


def subject(kind: str, place: Place) -> Subject:
    _configure()
    _prepare(kind, place)

    def make(handler: str) -> App:
        settings.SESSION_ENGINE = _engine(kind)
        return application(handler, "django.contrib.sessions.middleware.SessionMiddleware")

    return Subject(f"django {kind}", f"Django, {NAMES[kind]}", make, BARE)


def _engine(kind: str) -> str:
    """
    Return the name of the module that Django takes its sessions from.

    Which cache they are in is a setting that is read at each request; here it is the engine's, so
    that two caches can be measured in one process.
    """
    if kind in ENGINES:
        return f"django.contrib.sessions.backends.{ENGINES[kind]}"
    from django.contrib.sessions.backends import cache
    from django.contrib.sessions.backends.base import SessionBase
    from django.core.cache import caches

    class SessionStore(cache.SessionStore):
        def __init__(self, session_key: str | None = None) -> None:
            self._cache = caches[kind]
            SessionBase.__init__(self, session_key)

    engine = ModuleType(f"benchmark_sessions_{kind}")
    engine.SessionStore = SessionStore  # type: ignore[attr-defined]
    sys.modules[engine.__name__] = engine
    return engine.__name__


def _configure() -> None:
    if not settings.configured:
        settings.configure(
            SECRET_KEY=work.SECRET,
            ALLOWED_HOSTS=["*"],
            ROOT_URLCONF=__name__,
            USE_TZ=True,
            INSTALLED_APPS=["django.contrib.sessions"],
            SESSION_COOKIE_NAME="session",
            SESSION_COOKIE_SECURE=True,
            SESSION_COOKIE_AGE=work.LIFE,
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
            LOGGING_CONFIG=None,
        )
        django.setup()


def _prepare(kind: str, place: Place) -> None:
    from django.core.cache import caches
    from django.db import connections

    if kind == "database":
        connections.settings["default"] |= _database(place)
        connection = connections["default"]
        connection.settings_dict |= _database(place)
        from django.contrib.sessions.models import Session

        with connection.schema_editor() as editor:
            editor.create_model(Session)
    elif kind in ("memory", "redis"):
        caches.settings[kind] = _cache(kind, place)


def _database(place: Place) -> dict[str, Any]:
    return {
        "NAME": str(place.folder / "django.db"),
        "CONN_MAX_AGE": None,
        "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"},
    }


def _cache(kind: str, place: Place) -> dict[str, Any]:
    if kind == "memory":
        return {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "OPTIONS": {"MAX_ENTRIES": 1_000_000},
        }
    return {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": f"unix://{place.server('redis')}",
    }

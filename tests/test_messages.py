"""Messages that a new user meets: each says what is wrong, where, and what to write."""

import asyncio
import importlib
import sys
import traceback
import uuid
import warnings
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import flask
import pytest
import redis
from aiohttp import web
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import create_async_engine

from coatcheck import (
    BackendError,
    ConfigurationError,
    Context,
    Cookie,
    CookieTooLarge,
    Session,
    UnstorableValue,
    session,
)
from coatcheck.asgi import SessionMiddleware
from coatcheck.frameworks.aiohttp import setup as aiohttp_setup
from coatcheck.frameworks.fastapi import setup as fastapi_setup
from coatcheck.frameworks.flask import SessionInterface, cookie_from, require_auth
from coatcheck.frameworks.litestar import SessionPlugin
from coatcheck.frameworks.quart import SessionInterface as QuartInterface
from coatcheck.storage import (
    FileStorage,
    MemoryStorage,
    RedisStorage,
    SqliteStorage,
    SqlStorage,
    storage_from_url,
)
from coatcheck.wsgi import SessionMiddleware as WsgiMiddleware
from tests.engines import engine_in_memory
from tests.hosts import COOKIE, SECRET

WRONG: Any = (MemoryStorage(), COOKIE, "redis://host")
"""Arguments of another kind than the one that is asked for."""


def test_whole_seconds_may_be_a_float() -> None:
    """As a division or a configuration file makes them."""
    assert Cookie("name", secrets=[SECRET], max_age=3600.0).max_age == 3600


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: session(WRONG[0], WRONG[1]), r"write session\(cookie, storage\)"),
        (lambda: session(COOKIE, WRONG[2]), r"write storage_from_url\(url\)"),
        (lambda: RedisStorage(WRONG[2]), r"write storage_from_url\(url\)"),
        (lambda: SqlStorage(WRONG[2]), r"write storage_from_url\(url\)"),
        (lambda: storage_from_url("postgres://host/db"), "did you mean postgresql:"),
        (lambda: storage_from_url("reddis://host"), "did you mean redis:"),
        (lambda: storage_from_url("floppy:a"), r"must begin with one of .*mariadb:$"),
        (lambda: Context({}).get(Session), r"add session\(cookie, storage\).* or setup"),
    ],
)
def test_a_mistake_is_told_with_what_to_write(make: Any, says: str) -> None:
    """When the application starts, or at the first request."""
    with pytest.raises(ConfigurationError, match=says):
        make()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({1, 2}, r"it is of type set \(write list\(value\)\)"),
        (
            [1, {"price": Decimal(1)}],
            r"the part at \[1\]\['price'\] is of type Decimal",
        ),
        (
            {"a": {"b c": [date(2026, 1, 1)]}},
            r"\['a'\]\[…\]\[0\] is of type date \(write",
        ),
        ({"a": timedelta(1)}, r"\['a'\] is of type timedelta \(write value.total_seconds"),
        ([uuid.uuid4()], r"\[0\] is of type UUID \(write str"),
        ([object()], r"\[0\] is of type object;"),
        ({"d": [{1: 2}]}, r"at \['d'\]\[0\]: .* key of type int \(write str\(key\)\)"),
        (
            [datetime(2026, 1, 1)],  # noqa: DTZ001 - what is refused
            r"at \[0\]: .* no time zone \(write datetime.now\(UTC\)\)",
        ),
        ({"a": [1, 2**70]}, r"at \['a'\]\[1\]: can't serialize ints"),
        ({"a": ["\ud800"]}, r"at \['a'\]\[0\]: a text in it holds a lone surrogate"),
    ],
)
def test_a_value_that_no_session_holds_is_found(value: object, says: str) -> None:
    """Also deep inside another; a key that a visitor may have typed is not shown."""
    with pytest.raises(UnstorableValue, match=says):
        Session()["key"] = value


def test_a_cookie_that_is_too_large_names_the_storages() -> None:
    """Every kind that has room."""
    with pytest.raises(CookieTooLarge) as large:
        COOKIE.serialize("x" * 5000)
    for name in ("SqliteStorage", "FileStorage", "SqlStorage", "RedisStorage", "MemcachedStorage"):
        assert name in str(large.value)


def test_a_database_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """With its path and the reason."""
    with pytest.raises(BackendError, match=f"^SQLite failed to open {tmp_path}: unable to open"):
        storage_from_url(f"sqlite:{tmp_path}").read("A" * 40)


DEAD = "127.0.0.1:1"
"""An address where no server listens."""


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://:geheim@{}", "Redis at {} failed to read .*: .*[Cc]onne"),
        ("unix://:geheim@/none/redis.sock", r"Redis at /none/redis.sock .*: .*No such file"),
        ("redis+sentinel://u:geheim@{}/main", "Redis, Sentinel's 'main' .*: No master found"),
        ("redis+cluster://u:geheim@{}", "Redis cluster.*: .*127.0.0.1:1"),
        ("memcached://{}", r"Memcached at {} failed to read .*: .*[Cc]onnect"),
        ("postgresql://u:geheim@{}/db", r"postgresql at {} .*: connection failed: .*refused"),
        ("mariadb://u:geheim@{}/db", r"(mysql|mariadb) at {} .*: Can't connect to MySQL server"),
    ],
)
def test_a_server_that_cannot_be_reached_is_named_with_the_reason(url: str, says: str) -> None:
    """In one line, without a password, in the plain and in the awaited form."""
    storage: Any = storage_from_url(url.format(DEAD))

    async def read() -> None:
        try:
            await storage.aio.read("A" * 40)
        finally:
            await storage.aio.close()

    for fails in (lambda: storage.read("A" * 40), lambda: asyncio.run(read())):
        with pytest.raises(BackendError, match=f"^{says.format(DEAD)}") as failed:
            fails()
        assert not set("\n<") & set(str(failed.value)), str(failed.value)
        report = "".join(traceback.format_exception(failed.value))
        assert "geheim" not in report


@pytest.mark.parametrize(
    ("cause", "says"),
    [
        (TimeoutError(), "no answer in time"),
        (ConnectionResetError(), "ConnectionResetError"),
        (OSError(111, "Connect call failed"), "Connect call failed"),
        (ValueError("unknown command 'A', with args beginning: 'key' 'value'"), "unknown command"),
        (ValueError(1045, "Access denied for user 'u'"), "Access denied for user 'u'"),
        (ValueError("x" * 1000), "x" * 200),
    ],
)
def test_the_reason_of_a_failure_is_one_short_line(cause: Exception, says: str) -> None:
    """Whatever the client of the server raised; what it may quote is left out."""
    error = BackendError("the server", "read")
    error.__cause__ = cause
    assert str(error).startswith(f"the server failed to read a session record: {says}")
    assert "value" not in str(error)
    assert len(str(error)) < 260
    assert str(BackendError("the server", "read", "it is full")).endswith("record: it is full")


def test_an_asyncio_engine_without_greenlet_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SQLAlchemy below 2.1 makes such an engine, and fails at the first request."""
    engine = create_async_engine("sqlite+aiosqlite://")
    monkeypatch.setitem(sys.modules, "greenlet", None)
    with pytest.raises(ConfigurationError, match=r"greenlet: pip install 'coatcheck\[sql\]'"):
        SqlStorage(engine)


def test_a_plain_engine_needs_no_greenlet(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLAlchemy 2.1 without it has no asyncio engines at all."""
    for name in ("greenlet", "sqlalchemy.ext.asyncio"):
        monkeypatch.setitem(sys.modules, name, None)
    storage = SqlStorage(engine_in_memory())
    storage.create_table()
    assert storage.read("A" * 40) == {}
    with pytest.raises(ConfigurationError, match="engine must be an engine of SQLAlchemy"):
        SqlStorage(WRONG[1])


def test_forms_without_their_packages_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the name of a package that the reader never chose."""
    for name in [name for name in sys.modules if name.startswith("coatcheck.forms")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "python_multipart", None)
    with pytest.raises(ImportError, match=r"pip install 'coatcheck\[router\]'"):
        importlib.import_module("coatcheck.forms")


def test_a_guard_of_flask_tells_that_the_session_is_flasks_own() -> None:
    """Flask brings one by itself, which knows no sign-in."""
    app = flask.Flask(__name__)
    app.secret_key, app.testing = SECRET, True
    app.add_url_rule("/", view_func=require_auth()(lambda: ""))
    with pytest.raises(ConfigurationError, match=r"got \w+: set app.session_interface ="):
        app.test_client().get("/")


OPEN = Cookie("name", secrets=[SECRET], httponly=False)
"""A cookie that calls for a warning."""


async def _app(*_: Any) -> None:
    """Answer nothing."""


def _flask_with_short_secret() -> Cookie:
    app = flask.Flask(__name__)
    app.secret_key = "short"
    return cookie_from(app)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Cookie("name", secrets=["short"]),
        lambda: session(OPEN, MemoryStorage()),
        lambda: SessionMiddleware(_app, OPEN, MemoryStorage()),
        lambda: WsgiMiddleware(flask.Flask(__name__).wsgi_app, OPEN, MemoryStorage()),
        lambda: SessionInterface(OPEN, MemoryStorage()),
        lambda: QuartInterface(OPEN, MemoryStorage()),
        lambda: SessionPlugin(OPEN, MemoryStorage()),
        lambda: aiohttp_setup(web.Application(), OPEN, MemoryStorage()),
        lambda: fastapi_setup(FastAPI(), OPEN, MemoryStorage()),
        _flask_with_short_secret,
        lambda: storage_from_url("postgresql://host/db?sslmode=require"),
        lambda: RedisStorage(redis.Redis(ssl=True, ssl_check_hostname=False)),
    ],
)
def test_a_warning_points_to_the_line_of_the_application(make: Any) -> None:
    """On every way in."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make()
    assert [Path(each.filename).name for each in caught] == ["test_messages.py"]


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (FileStorage, "{}"),
        (SqliteStorage, "{}/sessions.db"),
        (storage_from_url, "file:{}"),
        (storage_from_url, "sqlite:{}/sessions.db"),
    ],
)
def test_a_warning_of_an_open_folder_points_to_the_application(
    make: Any, place: str, tmp_path: Path
) -> None:
    """However deep in the package the folder is looked at."""
    tmp_path.chmod(0o777)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make(place.format(tmp_path))
    assert {Path(each.filename).name for each in caught} == {"test_messages.py"}


def test_a_warning_of_flask_settings_points_to_the_interface() -> None:
    """It comes with the first request, when no line of the application is on the stack."""
    app = flask.Flask(__name__)
    app.config["SESSION_COOKIE_NAME"] = "another"
    app.session_interface = SessionInterface(COOKIE, MemoryStorage())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        app.test_client().get("/")
    assert [Path(each.filename).name for each in caught] == ["test_messages.py"]

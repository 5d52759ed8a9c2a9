"""Messages that a new user meets: each says what is wrong, where, and what to write."""

import importlib
import sys
import uuid
import warnings
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import flask
import pytest

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
from coatcheck.frameworks.flask import SessionInterface
from coatcheck.frameworks.quart import SessionInterface as QuartInterface
from coatcheck.storage import MemoryStorage, RedisStorage, SqlStorage, storage_from_url
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
    with pytest.raises(BackendError, match=f"SQLite .*{tmp_path}: unable to open"):
        storage_from_url(f"sqlite:{tmp_path}").read("A" * 40)


def test_forms_without_their_packages_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the name of a package that the reader never chose."""
    for name in [name for name in sys.modules if name.startswith("coatcheck.forms")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "python_multipart", None)
    with pytest.raises(ImportError, match=r"pip install 'coatcheck\[router\]'"):
        importlib.import_module("coatcheck.forms")


OPEN = Cookie("name", secrets=[SECRET], httponly=False)


async def _app(*_: Any) -> None:
    """Answer nothing."""


@pytest.mark.parametrize(
    "make",
    [
        lambda: session(OPEN, MemoryStorage()),
        lambda: SessionMiddleware(_app, OPEN, MemoryStorage()),
        lambda: SessionInterface(OPEN, MemoryStorage()),
        lambda: QuartInterface(OPEN, MemoryStorage()),
    ],
)
def test_a_warning_points_to_the_line_of_the_application(make: Any) -> None:
    """On every way in."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make()
    assert [Path(each.filename).name for each in caught] == ["test_messages.py"]


def test_a_warning_of_flask_settings_points_to_the_interface() -> None:
    """It comes with the first request, when no line of the application is on the stack."""
    app = flask.Flask(__name__)
    app.config["SESSION_COOKIE_NAME"] = "another"
    app.session_interface = SessionInterface(COOKIE, MemoryStorage())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        app.test_client().get("/")
    assert [Path(each.filename).name for each in caught] == ["test_messages.py"]

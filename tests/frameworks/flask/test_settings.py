"""Flask's own settings of the session cookie: a cookie made from them, and a warning."""

import warnings
from datetime import timedelta
from typing import Any

import flask
import pytest

from coatcheck import CoatcheckWarning, ConfigurationError, Cookie
from coatcheck.frameworks.flask import SessionInterface, cookie_from
from coatcheck.storage import MemoryStorage
from tests.frameworks.flask.pages import PAGES
from tests.hosts import SECRET

OLDER = "an older secret of more than thirty-two characters"


def app_of(cookie: Cookie | None = None, **config: Any) -> flask.Flask:
    """Return an application with these settings, and sessions of a cookie made from them."""
    app = flask.Flask(__name__)
    app.config.update({"SECRET_KEY": SECRET, **config})
    app.session_interface = SessionInterface(cookie or cookie_from(app), MemoryStorage())
    for path, page in PAGES.items():
        app.add_url_rule(path, path, page)
    return app


def line_of(app: flask.Flask) -> str:
    """Return the cookie that a first change sets."""
    return app.test_client().get("/add?item=coat").headers["Set-Cookie"]


def test_a_cookie_as_flasks_defaults_say() -> None:
    """Its name, its path and its lifetime; SameSite is ours, because Flask's says nothing."""
    attributes = line_of(app_of()).partition(";")[2]
    assert attributes == " Max-Age=2678400; Path=/; HttpOnly; SameSite=Lax"


def test_a_cookie_as_the_settings_say() -> None:
    """Each of them counts, and none is ignored."""
    app = app_of(
        SESSION_COOKIE_NAME="sid",
        SESSION_COOKIE_DOMAIN="example.org",
        SESSION_COOKIE_PATH="/shop",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_PARTITIONED=True,
        SESSION_COOKIE_SAMESITE="none",
        PERMANENT_SESSION_LIFETIME=timedelta(hours=1),
    )
    name, _, attributes = line_of(app).partition("=")
    assert name == "sid"
    assert attributes.partition(";")[2] == (
        " Max-Age=3600; Domain=example.org; Path=/shop; Secure; HttpOnly; SameSite=None;"
        " Partitioned"
    )


def test_the_cookie_may_end_with_the_browser() -> None:
    """As Flask's own do without `session.permanent`; a lifetime is not used then."""
    app = app_of(APPLICATION_ROOT="/shop")
    cookie = cookie_from(app, permanent=False, encrypt=True)
    assert (cookie.max_age, cookie.path, cookie.encrypted) == (None, "/shop", True)


@pytest.mark.parametrize("secret", [SECRET, SECRET.encode()])
def test_secret_key_seals_and_the_fallbacks_open(secret: str | bytes) -> None:
    """Text and bytes say the same."""
    app = app_of(SECRET_KEY=secret, SECRET_KEY_FALLBACKS=[OLDER.encode()])
    cookie = cookie_from(app)
    assert Cookie("session", secrets=[SECRET]).parse(cookie.serialize("x").split(";")[0]) == "x"
    older = Cookie("session", secrets=[OLDER]).serialize("y").split(";")[0]
    assert cookie.parse(older) == "y"


@pytest.mark.parametrize("key", [None, ""])
def test_a_cookie_needs_a_secret(key: str | None) -> None:
    """The message says where it comes from."""
    app = flask.Flask(__name__)
    app.config["SECRET_KEY"] = key
    with pytest.raises(ConfigurationError, match="SECRET_KEY"):
        cookie_from(app)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("SESSION_COOKIE_NAME", "sid"),
        ("SESSION_COOKIE_DOMAIN", "example.org"),
        ("SESSION_COOKIE_PATH", "/shop"),
        ("SESSION_COOKIE_HTTPONLY", False),
        ("SESSION_COOKIE_SECURE", True),
        ("SESSION_COOKIE_PARTITIONED", True),
        ("SESSION_COOKIE_SAMESITE", "Strict"),
        ("PERMANENT_SESSION_LIFETIME", timedelta(days=1)),
        ("PERMANENT_SESSION_LIFETIME", 60),
    ],
)
def test_a_setting_that_is_set_and_ignored_is_told_once(setting: str, value: object) -> None:
    """By a warning that names it, with the first request."""
    app = app_of(Cookie("session", secrets=[SECRET], secure=False), **{setting: value})
    with pytest.warns(CoatcheckWarning, match=f"no effect .*: {setting}; .*cookie_from") as told:
        line_of(app)
    assert len(told) == 1
    assert line_of(app).startswith("session=")


def test_a_setting_that_the_cookie_follows_is_not_told() -> None:
    """Nor one that is Flask's default."""
    cookie = Cookie("sid", secrets=[SECRET], samesite="Strict", max_age=60, secure=False)
    with warnings.catch_warnings(action="error"):
        assert line_of(
            app_of(
                cookie,
                SESSION_COOKIE_NAME="sid",
                SESSION_COOKIE_SAMESITE="strict",
                PERMANENT_SESSION_LIFETIME=timedelta(minutes=1),
            )
        ).startswith("sid=")
        assert line_of(app_of(Cookie("s", secrets=[SECRET], max_age=9))).startswith("s=")

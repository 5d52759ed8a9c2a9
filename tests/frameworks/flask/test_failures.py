"""Flask: what must not happen, and servers that fail."""

import logging
from typing import Any

import flask
import pytest

from coatcheck import (
    BackendError,
    CoatcheckWarning,
    ConfigurationError,
    Cookie,
    ResponseStarted,
    Session,
    UnstorableValue,
)
from coatcheck import session as session_of_wsgi
from coatcheck.frameworks.flask import SessionInterface, session
from coatcheck.storage import AsyncKeyedStorage, KeyedStorage, MemoryStorage, SessionStorage
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.storage.clock import system_clock
from tests.applications import Awaited
from tests.frameworks.flask.pages import (
    COOKIE,
    NAME,
    PAGES,
    application,
    client_of,
    names_of,
    stream_of,
)
from tests.hosts import SECRET


def test_an_asynchronous_storage_is_refused() -> None:
    """Flask cannot wait for it, and says so when the interface is made."""
    with pytest.raises(ConfigurationError, match="plain methods"):
        SessionInterface(COOKIE, AsyncKeyedStorage(Awaited()))


def test_a_cookie_without_secrets_is_refused() -> None:
    """There is no null session that fails at the first write: the application does not start."""
    with pytest.raises(ConfigurationError, match="no secrets"):
        SessionInterface(Cookie("session", secure=False), MemoryStorage())


def test_flasks_own_settings_are_not_used() -> None:
    """The cookie is the one that was given, and extensions that ask learn its name."""
    app = application(MemoryStorage(), PAGES)
    app.config.update(SESSION_COOKIE_NAME="theirs", SESSION_COOKIE_PATH="/theirs")
    with pytest.warns(CoatcheckWarning, match="no effect"):
        line = app.test_client().get("/add?item=coat").headers["Set-Cookie"]
    assert line.startswith("session=")
    assert "Path=/;" in line
    assert app.session_interface.get_cookie_name(app) == "session"
    assert not app.session_interface.is_null_session(SessionInterface)


def test_two_middlewares_on_one_request_are_refused() -> None:
    """session() around the application, beside the interface, is a mistake that is told."""
    app = application(MemoryStorage(), PAGES)
    app.testing = True
    app.wsgi_app = session_of_wsgi(COOKIE, MemoryStorage()).wsgi(app.wsgi_app)  # type: ignore[method-assign]
    with pytest.raises(ConfigurationError, match="runs twice"):
        app.test_client().get("/cart")


def test_a_session_that_was_replaced_is_not_saved() -> None:
    """What an extension puts in its place would be lost, so nothing is sent."""
    app = application(MemoryStorage(), PAGES)
    app.testing = True

    @app.after_request
    def replace(response: flask.Response) -> flask.Response:
        flask.globals.request_ctx._session = {"user": 1}  # type: ignore[assignment]
        return response

    with pytest.raises(ConfigurationError, match="something replaced"):
        app.test_client().get("/cart")


def test_an_error_page_is_a_failure_too(storage: SessionStorage) -> None:
    """Whoever writes it: a status of 500 and above saves nothing."""

    def unavailable() -> tuple[str, int]:
        session["cart"] = ["lost"]
        return "later", 503

    client = client_of(storage, {**PAGES, "/unavailable": unavailable})
    answer = client.ask("/unavailable")
    assert answer.headers["Vary"] == "Cookie"
    assert names_of(answer) == []
    assert client.ask("/cart").json is None


def test_a_value_that_cannot_be_stored_answers_500(storage: SessionStorage) -> None:
    """The page of the error is sent without a session, and nothing else of it is kept."""
    seen: list[object] = []

    def page() -> str:
        session["cart"] = held = ["coat"]
        held.append(object())  # type: ignore[arg-type]
        return ""

    app = application(storage, {**PAGES, "/page": page})

    @app.errorhandler(500)
    def failed(error: Any) -> tuple[str, int]:
        seen.append(type(error.original_exception))
        session.get("cart")
        return "sorry", 500

    client = app.test_client()
    answer = client.get("/page")
    assert (answer.status_code, answer.text) == (500, "sorry")
    assert answer.headers["Vary"] == "Cookie"
    assert names_of(answer) == []
    assert seen == [UnstorableValue]
    assert client.get("/cart").json is None


def test_an_error_after_the_save_loses_no_new_id() -> None:
    """The record lies under the new id already, so the page of the error carries it."""
    app = application(MemoryStorage(), PAGES)

    def sign_in() -> str:
        session["cart"] = ["coat"]
        session.regenerate_id()
        return ""

    app.add_url_rule("/in", "in", sign_in)
    client = app.test_client()
    client.get("/add?item=hat")

    def fail(_: flask.Flask, **__: object) -> None:
        raise LookupError

    with flask.request_finished.connected_to(fail, app):
        answer = client.get("/in")
    assert answer.status_code == 500
    assert names_of(answer) == ["session"]
    assert client.get("/cart").json == ["coat"]


def test_a_cookie_that_browsers_lose_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """As by the middleware: Secure, over plain http."""
    caplog.set_level(logging.WARNING, "coatcheck")
    app = application(MemoryStorage(), PAGES)
    secure = Cookie("session", secrets=[SECRET])
    app.session_interface = SessionInterface(secure, MemoryStorage())
    app.test_client().get("/add?item=coat", base_url="http://example.org")
    assert "cookie 'session' will be lost: it is Secure" in caplog.text


class Down(MemoryBackend):
    """A server that takes no reads, or no writes."""

    def __init__(self) -> None:
        super().__init__(max_records=10, clock=system_clock)
        self.reads = self.writes = True

    def get(self, key: str) -> Any:
        if not self.reads:
            raise BackendError("the server", "read")
        return super().get(key)

    def swap(self, *given: Any) -> Any:
        if not self.writes:
            raise BackendError("the server", "write")
        return super().swap(*given)


@pytest.mark.parametrize("fails", ["reads", "writes"])
def test_a_store_that_is_down_is_for_the_application_to_answer(
    fails: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its handler of status 500 gets the error, whether a read failed or a save."""
    caplog.set_level(logging.ERROR, NAME)
    backend = Down()
    app = application(KeyedStorage(backend), PAGES)

    @app.errorhandler(500)
    def failed(error: Any) -> tuple[str, int]:
        assert isinstance(error.original_exception, BackendError)
        return "later", 503

    client = app.test_client()
    client.get("/add?item=coat")
    setattr(backend, fails, False)
    assert client.get("/add?item=hat").status_code == 503
    assert [record.getMessage() for record in caplog.records if record.name == NAME] == [
        "Exception on /add [GET]"  # and nothing about the answer to it
    ]
    setattr(backend, fails, True)
    assert client.get("/cart").json == ["coat"]


def test_an_outage_may_be_served_without_sessions() -> None:
    """With on_outage="anonymous": an empty session that is never written."""
    backend = Down()
    client = client_of(KeyedStorage(backend), PAGES, on_outage="anonymous")
    client.ask("/add?item=coat")
    backend.reads = False
    answer = client.ask("/add?item=hat")
    assert answer.json == ["hat"]
    assert names_of(answer) == []
    backend.reads = True
    assert client.ask("/cart").json == ["coat"]


@pytest.mark.parametrize("breaks", ["/fail", "/stream"])
def test_a_request_that_failed_takes_no_more_changes(breaks: str) -> None:
    """Whoever still holds its session is told: destroy() would have no effect, nor any change."""
    held: list[Session] = []

    def hold() -> None:
        held.append(flask.session._get_current_object())  # type: ignore[attr-defined]

    def break_it() -> None:
        raise LookupError

    def fail() -> None:
        hold()
        break_it()

    app = application(
        MemoryStorage(), {**PAGES, "/fail": fail, "/stream": stream_of(hold, break_it)}
    )
    app.testing = True
    client = app.test_client()
    client.get("/add?item=coat")
    with pytest.raises(LookupError):
        client.get(breaks, buffered=True)
    with pytest.raises(ResponseStarted):
        held[0]["late"] = True
    with pytest.raises(ResponseStarted):
        held[0].destroy()
    assert client.get("/cart").json == ["coat"]

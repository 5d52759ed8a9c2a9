"""Flask: streams, and changes that come late."""

import io
from collections.abc import Callable

import flask
import pytest

from coatcheck import ResponseStarted
from coatcheck.frameworks.flask import session
from coatcheck.storage import CookieStorage, MemoryStorage, SessionStorage
from tests.frameworks.flask.pages import (
    PAGES,
    Page,
    application,
    client_of,
    names_of,
    sets,
    some_file,
    stream_of,
)


def test_a_stream_is_saved_before_its_headers_and_at_its_end() -> None:
    """A server-side session that the client holds an id of takes late changes."""
    memory = MemoryStorage()
    pages = {"/": stream_of(sets(cart=["coat"]), sets(cart=["coat", "hat"]), sets(late=1)), **PAGES}
    app = application(memory, pages)
    client = app.test_client()
    answer = client.get("/")  # not read yet
    assert names_of(answer) == ["session"]
    with client.session_transaction() as held:
        assert dict(held) == {"cart": ["coat"]}
    assert answer.text == "part;part;"
    answer.close()
    assert client.get("/cart").json == ["coat", "hat"]


def raw_generator() -> flask.Response:
    return flask.Response(iter([b"part"]), direct_passthrough=True)


@pytest.mark.parametrize(
    "page", [stream_of(lambda: None, lambda: session.get("cart")), raw_generator]
)
def test_a_body_that_may_still_read_says_so(page: Page) -> None:
    """Its headers leave before its parts run; for visitors who have no session, too."""
    client = application(MemoryStorage(), {"/": page, **PAGES}).test_client()
    assert client.get("/").headers["Vary"] == "Cookie"
    with client.session_transaction() as held:
        held["cart"] = ["coat"]
    assert client.get("/").headers["Vary"] == "Cookie"


@pytest.mark.parametrize("page", [lambda: "text", lambda: flask.Response([b"list"]), some_file])
def test_a_body_that_is_there_already_says_nothing(page: Page) -> None:
    """A text, a list or a file cannot read the session, so any cache may keep the response."""
    client = application(MemoryStorage(), {"/": page, **PAGES}).test_client()
    client.get("/add?item=coat")
    answer = client.get("/", headers={"Range": "bytes=0-1"}, buffered=True)
    assert "Vary" not in answer.headers


def test_what_a_client_that_leaves_did_not_hear_is_saved() -> None:
    """A server closes a stream in the middle; what was changed by then is no failure."""
    client = application(
        MemoryStorage(), {"/": stream_of(sets(cart=[]), sets(cart=["coat"]), sets(x=1)), **PAGES}
    ).test_client()
    answer = client.get("/")
    parts = iter(answer.response)
    assert [next(parts), next(parts)] == [b"part;", b"part;"]
    answer.close()
    assert client.get("/cart").json == ["coat"]


def test_a_stream_that_breaks_keeps_what_left_with_its_headers() -> None:
    """And nothing that came after."""

    def breaks() -> None:
        session["cart"] = ["lost"]
        raise LookupError

    client = client_of(MemoryStorage(), {"/": stream_of(sets(cart=["coat"]), breaks), **PAGES})
    client.ask("/add?item=hat")  # a client of a test gets no headers of a stream that breaks
    with pytest.raises(LookupError):
        client.ask("/")
    assert client.ask("/cart").json == ["coat"]


@pytest.mark.parametrize("make", [MemoryStorage, CookieStorage])
def test_a_change_that_comes_too_late_fails_at_its_line(
    make: Callable[[], SessionStorage],
) -> None:
    """The headers of a new session, or of one in the cookie, have left."""
    raised: list[ResponseStarted] = []

    def late() -> None:
        with pytest.raises(ResponseStarted) as error:
            session["late"] = True
        raised.append(error.value)

    storage = make()
    client = client_of(storage, {"/": stream_of(lambda: None, late), **PAGES})
    assert client.ask("/").text == "part;"
    if isinstance(storage, CookieStorage):
        client.ask("/add?item=coat")
        client.ask("/")
        assert len(raised) == 2
    assert raised


def test_a_stream_is_closed_also_when_it_was_not_read() -> None:
    """HEAD reads nothing, and what the handler opened is closed."""
    opened = io.BytesIO(b"body")

    def page() -> flask.Response:
        session["cart"] = ["coat"]
        return flask.Response(opened)

    client = application(MemoryStorage(), {"/": page, **PAGES}).test_client()
    client.head("/", buffered=True)
    assert opened.closed
    assert client.get("/cart").json == ["coat"]


def test_a_change_in_a_teardown_is_saved() -> None:
    """It runs after the save, before the body leaves."""
    app = application(MemoryStorage(), {**PAGES, "/file": some_file})

    @app.teardown_request
    def late(_: BaseException | None) -> None:
        if flask.request.path != "/cart":
            session["cart"] = [flask.request.path]

    client = app.test_client()
    with client.session_transaction() as held:
        held["user"] = "ada"
    for path in ("/add", "/file"):
        client.get(f"{path}?item=coat", buffered=True)
        assert client.get("/cart").json == [path]

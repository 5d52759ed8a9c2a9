"""Flask: `flask.session` is a coatcheck session, in requests and their answers."""

from collections.abc import Callable

import flask
import pytest
from flask.sessions import SessionMixin

from coatcheck import Context, Session
from coatcheck.frameworks.flask import session
from coatcheck.storage import MemoryStorage, SessionStorage
from tests.frameworks.flask.pages import PAGES, application, client_of, names_of
from tests.frameworks.visits import ITEM


def test_a_visit(storage: SessionStorage) -> None:
    """Nothing is kept for who looks; a cart is filled, shown, kept through an error, and left."""

    def out() -> str:
        session.destroy()
        return ""

    client = client_of(
        storage,
        {**PAGES, "/template": lambda: ITEM.render(session=flask.session), "/out": out},
    )
    answer = client.ask("/cart")
    assert answer.json is None
    assert names_of(answer) == []
    assert client.ask("/add?item=coat").json == ["coat"]
    assert client.ask("/add?item=hat").json == ["coat", "hat"]
    assert client.ask("/template").text == "cart=['coat', 'hat'];"
    failed = client.ask("/fail")
    assert failed.status_code == 500
    assert names_of(failed) == []
    with client.session_transaction() as held:
        assert dict(held) == {"cart": ["coat", "hat"]}
    assert "Max-Age=0" in client.ask("/out").headers["Set-Cookie"]
    assert client.ask("/cart").json is None


def test_flasks_session_is_the_session_itself(storage: SessionStorage) -> None:
    """Not a copy: `Session` and Flask's own type, with the members of both."""

    def page() -> str:
        held = flask.session
        assert isinstance(held, Session)
        assert isinstance(held, SessionMixin)
        assert Context(flask.request.environ).get(Session) == held
        assert held.new
        assert not held.modified
        held["cart"] = []
        assert held.modified
        held.flash("notice", "Saved.")
        held.apply("visits", lambda n: n + 1, default=0)
        return held.id

    def again() -> str:
        assert not session.new
        assert session["visits"] == 1
        before = session.id
        session.regenerate_id()
        assert session.id != before
        return str(session.get("notice"))

    client = client_of(storage, {"/": page, "/again": again})
    assert client.ask("/").status_code == 200
    answer = client.ask("/again")
    assert answer.text == "Saved."
    assert names_of(answer) == ["session"]
    assert client.ask("/again").text == "None"


def test_a_response_that_depends_on_the_session_says_so(storage: SessionStorage) -> None:
    """One that does not carries none of our headers, and nothing is written for it."""

    def plain() -> flask.Response:
        response = flask.Response("")
        response.set_cookie("other", "1")
        return response

    def own() -> flask.Response:
        session["user"] = "ada"
        response = flask.Response("", headers={"Vary": "Accept", "Cache-Control": "max-age=60"})
        response.set_cookie("other", "1")
        return response

    client = client_of(storage, {"/plain": plain, "/own": own, **PAGES})
    answer = client.ask("/plain")
    assert "Vary" not in answer.headers
    assert names_of(answer) == ["other"]
    assert client.ask("/cart").headers.getlist("Vary") == ["Cookie"]
    answer = client.ask("/own")
    assert answer.headers.getlist("Vary") == ["Accept, Cookie"]
    assert answer.headers.getlist("Cache-Control") == ["max-age=60, private"]
    assert sorted(names_of(answer)) == ["other", "session"]


@pytest.mark.parametrize(
    "look",
    [lambda: session.get("x"), lambda: "x" in session, lambda: len(session), lambda: session.new],
)
def test_every_look_varies(look: Callable[[], object]) -> None:
    """Whatever asks the session, the response depends on the cookie (CVE-2023-30861)."""

    def page() -> str:
        look()
        return ""

    assert client_of(MemoryStorage(), {"/": page}).ask("/").headers["Vary"] == "Cookie"


def test_a_change_after_the_handler_is_saved(storage: SessionStorage) -> None:
    """`after_request` comes before the save."""
    app = application(storage, PAGES)

    @app.after_request
    def note(response: flask.Response) -> flask.Response:
        session["cart"] = ["coat"]
        return response

    client = app.test_client()
    assert client.get("/cart").json is None
    assert client.get("/cart").json == ["coat"]


def test_flasks_attributes_may_be_assigned(storage: SessionStorage) -> None:
    """`modified` needs no help, and `permanent` says what it was told."""

    def page() -> str:
        session.setdefault("cart", []).append("coat")
        session.modified = True
        said = str(session.permanent)
        session.permanent = not session.permanent
        return said

    client = client_of(storage, {"/": page, **PAGES})
    assert [client.ask("/").text for _ in range(3)] == ["False", "True", "False"]
    assert client.ask("/cart").json == ["coat", "coat", "coat"]

    def touch() -> str:
        session.modified = True
        session.permanent = False
        return ""

    assert names_of(client_of(storage, {"/": touch}).ask("/")) == []


def test_clear_signs_out(storage: SessionStorage) -> None:
    """What many applications do: the cookie goes."""

    def out() -> str:
        flask.session.clear()
        return ""

    client = client_of(storage, {**PAGES, "/out": out})
    client.ask("/add?item=coat")
    assert "Max-Age=0" in client.ask("/out").headers["Set-Cookie"]
    assert client.ask("/cart").json is None

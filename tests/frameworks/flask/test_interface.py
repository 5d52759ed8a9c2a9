"""Flask: tests of an application, and the options of the interface."""

from dataclasses import dataclass, field
from typing import Any

import flask
import pytest

from coatcheck import Session
from coatcheck.frameworks.flask import session
from coatcheck.storage import MemoryStorage, SessionStorage
from coatcheck.testing import Clock, SessionKit
from tests.frameworks.flask.pages import COOKIE, PAGES, application, client_of, names_of


def test_session_transaction(storage: SessionStorage) -> None:
    """Flask's test client reads the session that it holds, and stores it back."""
    client = client_of(storage, PAGES)
    with client.session_transaction() as held:
        assert isinstance(held, Session)
        assert held.is_new
        held["cart"] = ["coat"]
    assert client.ask("/cart").json == ["coat"]
    with client.session_transaction() as held:
        held["cart"].append("hat")
    assert client.ask("/add?item=tie").json == ["coat", "hat", "tie"]
    with client.session_transaction() as held:
        held.clear()
    assert client.ask("/cart").json is None


def test_a_session_transaction_that_changes_nothing_leaves_no_cookie() -> None:
    """As a request would."""
    client = client_of(MemoryStorage(), PAGES)
    with client.session_transaction() as held:
        assert "cart" not in held
    assert client.get_cookie("session") is None


def test_the_session_can_be_read_after_a_request(storage: SessionStorage) -> None:
    """`with client:` keeps the request, and its session, for a look."""
    with application(storage, PAGES).test_client() as client:
        client.get("/add?item=coat")
        assert flask.session["cart"] == ["coat"]


def test_the_test_kit_speaks_to_flasks_client(storage: SessionStorage) -> None:
    """What `SessionKit` puts there `flask.session` finds, and the other way round."""
    kit = SessionKit(COOKIE, storage)
    client = client_of(storage, PAGES)
    kit.put(client, cart=["coat"])
    assert client.ask("/add?item=hat").json == ["coat", "hat"]
    assert kit.read(client)["cart"] == ["coat", "hat"]


def test_the_terms_are_the_ones_of_session() -> None:
    """idle, lifetime and refresh are carried through."""
    clock = Clock()
    client = client_of(MemoryStorage(clock=clock), PAGES, idle=100, lifetime=150, refresh=0.5)
    client.ask("/add?item=coat")
    clock.now += 40
    assert names_of(client.ask("/cart")) == []
    clock.now += 20
    assert names_of(client.ask("/cart")) == ["session"]
    clock.now += 80
    assert client.ask("/cart").json == ["coat"]
    clock.now += 20
    assert client.ask("/cart").json is None


@dataclass
class Visit:
    cart: list[str] = field(default_factory=list)


def test_a_typed_session(storage: SessionStorage) -> None:
    """With data=Visit: `session.data` is one, and what does not fit is refused."""

    def add() -> Any:
        visit: Visit = session.data
        visit.cart.append(flask.request.args["item"])
        return flask.jsonify(flask.session["cart"])

    def break_it() -> str:
        flask.session["cart"] = "a coat"
        return ""

    client = client_of(storage, {**PAGES, "/add": add, "/break": break_it}, data=Visit)
    assert client.ask("/cart").json is None
    assert client.ask("/add?item=coat").json == ["coat"]
    assert client.ask("/break").status_code == 500
    assert client.ask("/add?item=hat").json == ["coat", "hat"]
    assert client.ask("/cart").json == ["coat", "hat"]


def test_a_handler_that_is_async(storage: SessionStorage) -> None:
    """Flask runs it in a loop of its own, with the same session."""
    pytest.importorskip("asgiref")

    async def page() -> Any:
        session["cart"] = ["coat"]
        return flask.jsonify(session["cart"])

    client = client_of(storage, {"/": page, **PAGES})
    assert client.ask("/").json == ["coat"]
    assert client.ask("/cart").json == ["coat"]

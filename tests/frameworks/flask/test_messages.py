"""Flask: `flash()` and `get_flashed_messages()`, over flashes of the session."""

from typing import Any

import flask
import pytest
from markupsafe import Markup

from coatcheck.frameworks.flask import FlaskSession, session
from coatcheck.storage import MemoryStorage, SessionStorage
from tests.frameworks.flask.pages import PAGES, Page, client_of


def test_flash_and_get_flashed_messages(storage: SessionStorage) -> None:
    """Messages come back once, as the pairs that Flask promises, and as text."""

    def leave() -> str:
        flask.flash("Saved.")
        flask.flash(Markup("<b>Gone.</b>"), "error")
        return ""

    def show() -> str:
        found = flask.get_flashed_messages(with_categories=True)
        assert found == flask.get_flashed_messages(with_categories=True)
        return repr((found, flask.get_flashed_messages(category_filter=["error"])))

    client = client_of(storage, {"/leave": leave, "/show": show})
    client.ask("/leave")
    pairs = [("message", "Saved."), ("error", "<b>Gone.</b>")]
    assert client.ask("/show").text == repr((pairs, ["<b>Gone.</b>"]))
    assert client.ask("/show").text == repr(([], []))


def test_looking_at_the_messages_in_the_session_changes_nothing() -> None:
    """They are turned into pairs for who asks, and stay what was stored."""

    def look() -> str:
        assert session["_flashes"] == [("message", "Saved.")]
        session["_flashes"] = session["_flashes"]
        return str(session.modified)

    def leave() -> str:
        flask.flash("Saved.")
        return ""

    client = client_of(MemoryStorage(), {"/leave": leave, "/": look})
    client.ask("/leave")
    assert [client.ask("/").text for _ in range(2)] == ["False", "False"]


def leave(text: str) -> str:
    flask.flash(text)
    return ""


def meanwhile(page: Page, other: str) -> Page:
    """Return *page*, but before it is saved another request of the same visitor asks *other*."""

    def overtaken() -> Any:
        said = page()
        client = flask.current_app.test_client()
        client.set_cookie("session", flask.request.cookies["session"])
        assert client.get(other).status_code == 200
        return said

    return overtaken


def shown() -> Any:
    return flask.jsonify(flask.get_flashed_messages())


@pytest.mark.parametrize("storage", ["memory", "sqlite"], indirect=True)
def test_no_message_is_lost_to_another_request(storage: SessionStorage) -> None:
    """Two that flash at once are both heard; one left while others were shown waits."""
    pages: dict[str, Page] = {
        "/first": lambda: leave("first"),
        "/second": lambda: leave("second"),
        "/both": meanwhile(lambda: leave("first"), "/second"),
        "/shown": shown,
        "/overtaken": meanwhile(shown, "/first"),
        **PAGES,
    }
    client = client_of(storage, pages)
    client.ask("/add?item=coat")
    client.ask("/both")
    assert client.ask("/shown").json == ["second", "first"]
    client.ask("/first")
    assert client.ask("/overtaken").json == ["first"]
    assert client.ask("/shown").json == ["first"]
    assert client.ask("/shown").json == []
    with client.session_transaction() as held:
        assert dict(held) == {"cart": ["coat"]}


def test_messages_that_were_put_there_by_hand(storage: SessionStorage) -> None:
    """A test that sets them, or an application that takes some away, gets what it put there."""
    client = client_of(storage, {"/shown": shown, "/first": lambda: leave("first")})
    with client.session_transaction() as held:
        held["_flashes"] = [("message", "one"), ("message", "two")]
    client.ask("/first")
    with client.session_transaction() as held:
        assert held["_flashes"][2] == ("message", "first")
        held["_flashes"] = held["_flashes"][1:]
        held["_flashes"] = [*held["_flashes"], ("message", "more")]
    assert client.ask("/shown").json == ["two", "first", "more"]
    with client.session_transaction() as held:
        held["_flashes"] = [("message", "one")]
        held["_flashes"] = [("message", "another"), ("message", "two")]
    assert client.ask("/shown").json == ["another", "two"]
    with client.session_transaction() as held:
        assert "_flashes" not in held
        with pytest.raises(KeyError):
            del held["_flashes"]


def test_leaving_a_message_is_a_use_of_the_session() -> None:
    """So the response says `Vary: Cookie`, also where Flask's proxy has no part in it."""
    held: FlaskSession[Any] = FlaskSession()
    assert not held.accessed
    held["_flashes"] = [("message", "Saved.")]
    assert held.accessed

"""Flask: one environ for many requests, as events of a socket have it."""

from collections.abc import Callable
from typing import Any

import flask
import pytest

from coatcheck import Context, ResponseStarted, Session
from coatcheck.frameworks.flask import session
from coatcheck.storage import MemoryStorage
from coatcheck.testing import Clock
from tests.frameworks.flask.pages import PAGES, application, client_of, sets


class Socket:
    """
    What Flask-SocketIO does with `manage_session=False`: one environ for all events of a socket.

    Source: `SocketIO._handle_event` of Flask-SocketIO 5.
    """

    def __init__(self, app: flask.Flask, client: Any, *, marks: bool = True) -> None:
        self.app, self.marks = app, marks
        cookie = client.get_cookie("session")
        headers = {"Cookie": f"session={cookie.value}"} if cookie else {}
        self.environ = app.test_request_context(headers=headers).request.environ

    def emit(self, event: Callable[[], Any]) -> Any:
        """Let the handler of an event run, and save if it changed the session."""
        with self.app.request_context(self.environ):
            held = flask.session._get_current_object()  # type: ignore[attr-defined]
            if self.marks:
                flask.request.sid = "1"  # type: ignore[attr-defined]
            said = event()
            if held.modified:
                response = self.app.response_class()
                self.app.session_interface.save_session(self.app, held, response)
            return said


@pytest.mark.parametrize("marks", [True, False])
def test_each_event_of_a_socket_reads_and_saves_anew(marks: bool) -> None:
    """What HTTP requests wrote since the socket was opened is there, and the other way round."""
    client = client_of(
        MemoryStorage(),
        {**PAGES, "/show": lambda: flask.jsonify(dict(session))},
    )
    app = client.application
    client.ask("/add?item=coat")
    socket = Socket(app, client, marks=marks)
    for number in (1, 2, 3):
        with client.session_transaction() as held:
            held["http"] = number
        assert socket.emit(lambda: session["http"]) == number
        socket.emit(sets(socket=number))
        expected = {"cart": ["coat"], "http": number, "socket": number}
        assert client.ask("/show").json == expected
        assert socket.emit(lambda: dict(session)) == expected


def test_an_environ_that_was_answered_is_read_anew() -> None:
    """A handler hands its environ to a socket; the next context of it is another request."""
    environs: list[dict[str, Any]] = []

    def page() -> str:
        environs.append(flask.request.environ)
        return str(session["cart"])

    app = application(MemoryStorage(), {**PAGES, "/page": page})
    client = app.test_client()
    client.get("/add?item=coat")
    client.get("/page")
    client.get("/add?item=hat")
    with app.request_context(environs[0]):
        assert session["cart"] == ["coat", "hat"]
        assert Context(environs[0]).get(Session) == flask.session


@pytest.mark.parametrize(
    ("change", "visits"),
    [
        (sets(cart=["lost"]), 0),
        (lambda: session.regenerate_id(), 1),  # noqa: PLW0108 - a proxy, looked up later
    ],
)
def test_an_event_that_needs_a_cookie_is_told(change: Callable[[], Any], visits: int) -> None:
    """An event has no headers: a new session and a new id would be lost, so the save raises."""
    client = client_of(MemoryStorage(), PAGES)
    for _ in range(visits):
        client.ask("/add?item=coat")
    with pytest.raises(ResponseStarted, match="event of a socket"):
        Socket(client.application, client).emit(change)
    assert client.ask("/cart").json == (["coat"] if visits else None)


def test_an_event_does_not_renew_the_id() -> None:
    """With rotate= a renewed id would be lost after the hand-over, and the visitor with it."""
    clock = Clock()
    client = client_of(MemoryStorage(clock=clock), PAGES, rotate=300, idle=10_000)
    client.ask("/add?item=coat")
    clock.now += 400
    Socket(client.application, client).emit(sets(cart=["hat"]))
    clock.now += 2000  # longer than any hand-over
    assert client.ask("/cart").json == ["hat"]

"""Flask: what the session says in the headers, beside other sessions and other cookies."""

from typing import Any

import flask
import pytest

from coatcheck import Context, Cookie, Session
from coatcheck import session as session_of_wsgi
from coatcheck._request.shell import Shell
from coatcheck._request.visit import Answer, Changes
from coatcheck.frameworks.flask import session
from coatcheck.storage import MemoryStorage
from coatcheck.testing import Clock
from tests.frameworks.flask.pages import PAGES, application, client_of, names_of
from tests.hosts import SECRET


def test_an_outer_session_of_another_cookie_goes_on() -> None:
    """A middleware around the application has a session of its own, and both are saved."""

    def found() -> str:
        return str(Context(flask.request.environ).get(Session) is session._get_current_object())  # type: ignore[attr-defined]

    app = application(MemoryStorage(), {**PAGES, "/found": found})
    outer = session_of_wsgi(Cookie("outer", secrets=[SECRET], secure=False), MemoryStorage())
    inner = app.wsgi_app

    def counting(environ: Any, start_response: Any) -> Any:
        environ["coatcheck.session"]["visits"] = True
        return inner(environ, start_response)

    app.wsgi_app = outer.wsgi(counting)  # type: ignore[method-assign]
    answer = app.test_client().get("/add?item=coat")
    assert answer.json == ["coat"]
    assert sorted(names_of(answer)) == ["outer", "session"]
    assert app.test_client().get("/found").text == "True"


def test_a_session_that_nothing_touched_overwrites_no_cookie() -> None:
    """A response that sets our cookie already comes from an inner application, which knows more."""
    clock = Clock()

    def inner() -> flask.Response:
        return flask.Response("", headers={"Set-Cookie": "session=; Max-Age=0"})

    client = client_of(MemoryStorage(clock=clock), {**PAGES, "/inner": inner}, idle=1000)
    client.ask("/add?item=coat")
    clock.now += 200  # a refresh is due
    lines = client.ask("/inner").headers.getlist("Set-Cookie")
    assert lines == ["session=; Max-Age=0"]


def test_every_change_of_the_headers_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several cookies, and headers of any name."""
    app = application(MemoryStorage(), PAGES)
    said = Changes(True, True, ("a=1", "b=2"), (("X-More", "1"),))
    monkeypatch.setattr(Shell, "leave", lambda *_, **__: said)
    headers = app.test_client().get("/cart").headers
    assert headers.getlist("Set-Cookie") == ["a=1", "b=2"]
    assert [headers[name] for name in ("Vary", "Cache-Control", "X-More")] == [
        "Cookie",
        "private",
        "1",
    ]


def test_an_answer_is_sent_in_place_of_the_applications(monkeypatch: pytest.MonkeyPatch) -> None:
    """No handler or hook before it runs, and no error handler sees it."""
    app = application(MemoryStorage(), PAGES)
    ran: list[str] = []
    app.before_request(lambda: ran.append("hook"))
    app.register_error_handler(503, lambda _: "handled")
    app.after_request(lambda response: (session.get("cart"), response)[1])
    answer = Answer(503, (("Retry-After", "5"), ("Content-Type", "text/plain")), b"later")
    monkeypatch.setattr(Shell, "read", lambda *_: answer)
    got = app.test_client().get("/add?item=coat")
    assert (got.status_code, got.data, got.headers["Retry-After"]) == (503, b"later", "5")
    assert names_of(got) == []
    assert ran == []


def test_repr_changes_nothing() -> None:
    """A log line or a debugger does not make the response depend on the cookie."""

    def page() -> str:
        return repr(flask.session)

    client = client_of(MemoryStorage(), {**PAGES, "/": page})
    assert "Vary" not in client.ask("/").headers
    client.ask("/add?item=coat")
    answer = client.ask("/")
    assert "coat" not in answer.text
    assert "Vary" not in answer.headers
    assert names_of(answer) == []

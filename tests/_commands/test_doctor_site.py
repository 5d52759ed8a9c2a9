"""`coatcheck doctor http://…`: what it finds in a running application."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from coatcheck import Cookie, Session, session
from coatcheck._commands import doctor_site as doctor
from coatcheck.cli import main
from coatcheck.storage import MemoryStorage
from tests.hosts import SECRET

App = Callable[..., Iterable[bytes]]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(app: App) -> Iterator[str]:
    """Serve an application; yield its URL."""
    server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def page(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
    """Begin a session, sign in, or sign out, by the path."""
    session: Session = environ["coatcheck.session"]
    path = environ["PATH_INFO"]
    if path == "/login":
        session.sign_in("ada")
    elif path == "/logout":
        session.sign_out()
    elif path == "/start":
        session.setdefault("seen", True)
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"page"]


def shop(**attributes: Any) -> App:
    cookie = Cookie("__session", secrets=[SECRET], **{"secure": False, **attributes})
    return session(cookie, MemoryStorage()).wsgi(page)


def told_of(
    app: App, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, dict[str, tuple[str, str]]]:
    """Return the exit code, and the state and text of each check."""
    with serving(app) as url:
        code = main(["doctor", url, "--json", *arguments])
    found = json.loads(capsys.readouterr().out)
    return code, {each["name"]: (each["state"], each["text"]) for each in found}


WHOLE = ("--start", "/start", "--sign-in", "/login name=ada", "--sign-out", "/logout")


def test_an_application_that_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    """Attributes, caching, workers, sign-in and sign-out; on http it lacks Secure."""
    code, found = told_of(shop(), capsys, *WHOLE)
    assert code == 0
    assert found["session cookie"] == ("info", "__session")
    assert [name for name, (state, _) in found.items() if state != "ok"] == [
        "session cookie",
        "Secure",
    ]
    assert {
        "HttpOnly",
        "SameSite",
        "size",
        "workers",
        "return",
        "sign-in",
        "sign-out",
    } <= found.keys()


def test_a_sign_in_may_begin_the_session(capsys: pytest.CaptureFixture[str]) -> None:
    """A named cookie is looked for, HttpOnly or not."""
    with pytest.warns(match="httponly=False"):
        app = shop(httponly=False, samesite=None)
    _, found = told_of(app, capsys, "--cookie", "__session", "--sign-in", "/login a=b")
    assert found["HttpOnly"][0] == "fail"
    assert found["SameSite"][0] == "warn"


def test_a_site_without_a_session_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """With what to do."""
    code, found = told_of(shop(), capsys)
    assert code == 0
    assert found["session cookie"][0] == "warn"
    assert "--start" in found["session cookie"][1]


def test_workers_that_disagree_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    """One of two has another secret."""
    other = Cookie("__session", secrets=["o" * 40], secure=False)
    workers: list[Any] = [shop(), session(other, MemoryStorage()).wsgi(page)]
    turns = iter(range(1000))

    def both(environ: Any, start: Any) -> Iterable[bytes]:
        answer: Iterable[bytes] = workers[0 if next(turns) % 3 else 1](environ, start)
        return answer

    code, found = told_of(both, capsys, "--start", "/start")
    assert code == 1
    assert found["workers"][0] == "fail"


@pytest.mark.parametrize(
    ("samesite", "state", "text"),
    [("Lax", "ok", "leads to the same session"), ("Strict", "fail", "begins another session")],
)
def test_a_visitor_returns_from_another_site(
    samesite: Any, state: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A browser sends no Strict cookie there, and the page's new one replaces the visitor's."""
    _, found = told_of(shop(samesite=samesite), capsys, "--start", "/start")
    assert found["return"][0] == state
    assert text in found["return"][1]


def test_a_page_that_refuses_links_of_other_sites_is_a_fault(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A check of Sec-Fetch-Site must let safe methods pass."""
    app = shop()

    def strict(environ: Any, start: Any) -> Iterable[bytes]:
        if environ.get("HTTP_SEC_FETCH_SITE") == "cross-site":
            start("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"no"]
        return app(environ, start)

    code, found = told_of(strict, capsys, "--start", "/start")
    assert code == 1
    assert found["return"] == ("fail", "a link of another site leads to the status 403")


def bare(*lines: tuple[str, str]) -> App:
    """Return an application whose sessions are its own, with these headers."""

    def app(_: Any, start: Any) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "text/plain"), *lines])
        return [b"page"]

    return app


def test_another_package_is_looked_at_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Its cookie does not change at sign-in, stays after sign-out, and may be cached."""
    app = bare(("Set-Cookie", "sid=1; HttpOnly; SameSite=None"), ("Set-Cookie", "no pair"))
    code, found = told_of(app, capsys, *WHOLE)
    assert code == 1
    bad = {name for name, (state, _) in found.items() if state == "fail"}
    assert bad == {"Cache-Control", "sign-in", "sign-out"}
    assert found["workers"][0] == "info"
    assert found["return"][0] == "ok"
    assert found["Vary"][0] == "warn"


@pytest.mark.parametrize(
    ("line", "host", "states"),
    [
        ("sid=1; Secure; HttpOnly; SameSite=Lax", "https://a.example", {"Secure": "ok"}),
        ("sid=1; HttpOnly; SameSite=Strict", "https://a.example", {"Secure": "fail"}),
        ("sid=1; Secure; HttpOnly", "http://a.example", {"Secure": "fail"}),
        ("sid=1; Secure; HttpOnly", "http://localhost", {"Secure": "ok", "SameSite": "warn"}),
        (f"sid={'x' * 5000}; HttpOnly", "http://localhost", {"size": "fail"}),
        ("__Host-sid=1; Secure", "https://a.example", {"HttpOnly": "fail"}),
    ],
)
def test_attributes_are_judged_by_the_connection(
    line: str, host: str, states: dict[str, str]
) -> None:
    """Secure is needed on https, and lost on http, but on this machine."""
    cookie = doctor.read(line)
    assert cookie
    found = {each.name: each.state for each in doctor._attributes(cookie, doctor.Visitor(host))}
    assert states.items() <= found.items()


def test_what_is_no_site_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A URL without a host, a port that nobody serves, and what speaks no HTTP."""
    with pytest.raises(SystemExit):
        main(["doctor", "http://"])
    assert main(["doctor", "http://127.0.0.1:1"]) == 1
    said = capsys.readouterr().err
    assert said.endswith("coatcheck: http://127.0.0.1:1 cannot be reached: Connection refused\n")
    assert isinstance(doctor.Visitor("https://a.example")._connection().port, int)

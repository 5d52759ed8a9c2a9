"""`skip=`: paths under which no session is read."""

import asyncio
from collections.abc import Callable
from typing import Any

import flask
import pytest

from coatcheck import ConfigurationError, Session, session
from coatcheck._request.async_shell import AsyncShell
from coatcheck._request.cycle import Cycle
from coatcheck._request.shell import Shell
from coatcheck.asgi import SessionMiddleware
from coatcheck.frameworks.flask import SessionInterface
from coatcheck.storage import MemoryStorage
from coatcheck.testing import failing
from tests._request.visits import DictVisit
from tests.applications import fill
from tests.hosts import COOKIE, Sent, nothing_received, scope_of

SKIP = ("/static/",)

USES: dict[str, Callable[[Session], object]] = {
    "get": lambda session: session.get("user"),
    "item": lambda session: session["user"],
    "set": lambda session: session.set("user", 1),
    "in": lambda session: "user" in session,
    "len": len,
    "flash": lambda session: session.flash("notice", 1),
    "sign_in": lambda session: session.sign_in("42"),
    "signed_in": lambda session: session.signed_in,
    "id": lambda session: session.id,
    "is_new": lambda session: session.is_new,
    "data": lambda session: session.data,
    "destroy": lambda session: session.destroy(),
}


def visit_of(path: str, **options: Any) -> DictVisit:
    """Return a request after the session was read."""
    storage = MemoryStorage()
    visit = DictVisit(fill(storage, user=1), path=path)
    Shell(Cycle(COOKIE, storage, skip=SKIP, **options)).read(visit)
    return visit


@pytest.mark.parametrize("use", USES)
def test_to_ask_for_a_skipped_session_is_an_error(use: str) -> None:
    """Its message names the path and the option."""
    visit = visit_of("/static/app.js")
    with pytest.raises(ConfigurationError, match=r"under '/static/', as skip= of session\(\)"):
        USES[use](visit.session)
    assert repr(visit.session) == "<Session skipped>"


def test_other_paths_have_their_session() -> None:
    """A path that only contains the text is another one."""
    for path in ("/", "/static", "/shop/static/x"):
        assert visit_of(path).session["user"] == 1


def test_a_skipped_request_asks_no_server_and_changes_no_header() -> None:
    """The application gets the very send of the server."""
    storage = MemoryStorage()
    header, seen = fill(storage, user=1), list[object]()

    async def app(_: Any, receive: Any, send: Any) -> None:
        seen.extend([receive, send])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def ask(scope: dict[str, Any]) -> list[Any]:
        sent = Sent()
        await SessionMiddleware(app, COOKIE, storage, skip=SKIP)(scope, nothing_received, sent)
        assert seen[-2:] == [nothing_received, sent]
        return list(sent.messages)

    with failing(storage):
        for cookie in (header, None):
            messages = asyncio.run(ask(scope_of(cookie, {"path": "/static/a"})))
            assert messages[0]["headers"] == []


def test_without_a_cookie_another_path_is_served_as_ever() -> None:
    """Skipping some paths changes nothing for others."""
    seen = list[object]()

    async def app(scope: Any, _: Any, send: Any) -> None:
        seen.append(scope["session"].get("user"))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    middleware = session(COOKIE, MemoryStorage(), skip=SKIP)(app)
    asyncio.run(middleware(scope_of(), nothing_received, Sent()))
    assert seen == [None]


def test_a_request_of_another_host_ends_as_ever() -> None:
    """WSGI, Flask and the like make their four calls."""
    storage = MemoryStorage()
    shell, visit = Shell(Cycle(COOKIE, storage, skip=SKIP)), DictVisit(path="/static/a")
    shell.read(visit)
    assert not shell.leave(visit).vary
    shell.cycle.never_start(visit)
    shell.end(visit)
    shell.save(visit.session)
    shell.read(failed := DictVisit(path="/static/a"))
    shell.leave(failed, failed=True)
    shell.end(failed, failed=True)


def test_flask_skips_too() -> None:
    """The options reach every adapter."""
    app = flask.Flask(__name__)
    app.session_interface = SessionInterface(COOKIE, MemoryStorage(), skip=("/health",))

    @app.get("/health")
    def health() -> str:
        with pytest.raises(ConfigurationError):
            flask.session.get("user")
        return "well"

    assert app.test_client().get("/health").text == "well"


@pytest.mark.parametrize(
    ("skip", "says"),
    [
        ("/static/", r"several texts, got one: write skip=\('/static/',\)"),
        (5, "must be a tuple of paths, got int"),
        (["static"], r"must hold paths such as \"/static/\", got 'static'"),
        ([5], "got 5"),
    ],
)
def test_what_is_no_path_is_refused(skip: Any, says: str) -> None:
    """When the application starts."""
    with pytest.raises(ConfigurationError, match=says):
        session(COOKIE, MemoryStorage(), skip=skip)


def test_hosts_in_a_loop_skip_too() -> None:
    """Such as aiohttp and Quart, which read by the awaited shell."""
    storage = MemoryStorage()
    visit = DictVisit(fill(storage, user=1), path="/static/app.js")
    assert asyncio.run(AsyncShell(Cycle(COOKIE, storage, skip=SKIP)).read(visit)) is None
    assert repr(visit.session) == "<Session skipped>"

"""No cache gives the page of one visitor to another."""

import asyncio
from collections.abc import Iterator

import pytest

from coatcheck import Session, asgi, session, wsgi
from coatcheck.middleware import Sessions
from coatcheck.storage import MemoryStorage
from tests.hosts import (
    COOKIE,
    Answer,
    Front,
    Handler,
    Sent,
    environ_of,
    nothing_received,
    scope_of,
    served,
)
from tests.storage_kinds import Made, front_of
from tests.threats.attacks import both, everywhere, gets, sets, signed_in


def finds(session: Session) -> object:
    try:
        return session["user"]
    except KeyError:
        return None


ACCESSES: dict[str, Handler] = {
    "get": lambda s: s.get("user"),
    "[]": finds,
    "in": lambda s: "user" in s,
    "has": lambda s: s.has("user"),
    "len": len,
    "bool": bool,
    "iteration": list,
    "keys": lambda s: list(s.keys()),
    "values": lambda s: list(s.values()),
    "items": lambda s: dict(s.items()),
    "copy": dict,
    "equality": lambda s: s == {"user": "Ada"},
    "id": lambda s: bool(s.id),
    "issued id": lambda s: bool(s.issued_id),
    "is_new": lambda s: s.is_new,
    "modified": lambda s: s.modified,
    "destroyed": lambda s: s.destroyed,
    "created_at": lambda s: str(s.created_at),
    "expires_at": lambda s: str(s.expires_at),
    "pop": lambda s: s.pop("nothing", None),
    "unset": lambda s: s.unset("nothing"),
    "setdefault": lambda s: s.setdefault("user", 2),
    "the same value": lambda s: s.set("user", "Ada"),
    "set": lambda s: s.set("user", 2),
    "flash": lambda s: s.flash("notice", 2),
    "apply": lambda s: s.apply("n", lambda n: n + 1, 0),
    "regenerate_id": lambda s: s.regenerate_id(),
    "clear": lambda s: s.clear(),
    "destroy": lambda s: s.destroy(),
}


@both
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("access", ACCESSES)
def test_every_kind_of_access_makes_the_response_vary(
    name: str, access: str, *, known: bool
) -> None:
    """
    Whatever a handler asked the session, and whether there is one: the answer depends on it. A repr
    tells nothing of what it holds: error reporters and debuggers make one without the handler.
    """
    with front_of(name, Made(MemoryStorage())) as front:
        browser = signed_in(front) if known else front.browser()
        assert browser.ask(ACCESSES[access]).all("vary") == ["Cookie"]


@both
def test_reading_a_flash_makes_the_response_vary(name: str) -> None:
    """Reading one is a change, too."""
    with front_of(name, Made(MemoryStorage())) as front:
        browser = front.browser()
        browser.ask(lambda session: session.flash("notice", "Saved."))
        answer = browser.ask(gets("notice"))
        assert (answer.json, answer.all("vary")) == ("Saved.", ["Cookie"])


@everywhere
def test_who_does_not_touch_the_session_leaves_the_response_alone(front: Front) -> None:
    """No Vary, no Cache-Control: a page that is the same for all may be kept for all."""
    shared = [("Cache-Control", "public, s-maxage=60")]
    for browser in (front.browser(), signed_in(front)):
        answer = browser.ask(lambda _: None, headers=shared)
        assert (answer.all("vary"), answer.all("set-cookie")) == ([], [])
        assert answer.all("cache-control") == ["public, s-maxage=60"]


@everywhere
def test_a_response_with_the_cookie_is_kept_by_no_shared_cache(front: Front) -> None:
    """And the headers of the application arrive: its own cookies, what it varies by."""
    given = [
        ("Cache-Control", "public, s-maxage=60, max-age=5"),
        ("CDN-Cache-Control", "public, max-age=600"),
        ("Set-Cookie", "theme=dark; Path=/"),
        ("Set-Cookie", "lang=en"),
        ("Vary", "Accept"),
    ]
    answer: Answer = front.browser().ask(sets(user="Ada"), headers=given)
    assert answer.all("cache-control") == ["max-age=5, private"]
    assert answer.all("cdn-cache-control") == ["max-age=600, private"]
    assert answer.all("vary") == ["Accept, Cookie"]
    theme, lang, ours = answer.all("set-cookie")
    assert (theme, lang) == ("theme=dark; Path=/", "lang=en")
    assert ours.startswith("__session=")


@both
def test_a_body_that_still_reads_the_session_makes_the_response_vary(name: str) -> None:
    """The headers leave before it reads, so they say it beforehand."""
    storage = MemoryStorage()
    with front_of(name, Made(storage)) as front:
        header = signed_in(front).header
    sessions = session(COOKIE, storage)
    answer = streamed(sessions, header) if name == "asgi" else generated(sessions, header)
    assert (answer.body, answer.all("vary")) == (b"Ada", ["Cookie"])


def streamed(sessions: Sessions, header: str | None) -> Answer:
    async def app(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": scope["session"]["user"].encode()})

    sent = Sent()
    asyncio.run(sessions(app)(scope_of(header), nothing_received, sent))
    return sent.answer


def generated(sessions: Sessions, header: str | None) -> Answer:
    def app(environ: wsgi.Environ, start_response: wsgi.StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b""
        yield environ["coatcheck.session"]["user"].encode()

    return served(sessions.wsgi(app), environ_of(header))

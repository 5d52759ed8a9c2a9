"""Cookie headers that an attacker planted, removal cookies, and headers that are not believed."""

import asyncio
import re
from collections.abc import Mapping

import pytest

from coatcheck import Cookie, Session, session
from coatcheck.storage import MemoryStorage, SessionStorage
from tests.hosts import (
    COOKIE,
    SECRET,
    Answer,
    Front,
    Sent,
    asgi_app,
    environ_of,
    nothing_received,
    scope_of,
    served,
    wsgi_app,
)
from tests.storage_kinds import Made, front_of
from tests.threats.attacks import SOURCE, both, everywhere, gets, is_new, sets, signed_in


@everywhere
def test_a_nameless_pair_is_no_session(front: Front) -> None:
    """Some browsers send "=name=value" for a cookie without a name, which any subdomain can set."""
    browser = signed_in(front)
    assert browser.header
    for header in (f"={browser.header}", f"; ={browser.header}", f"a={browser.header}"):
        browser.header, kept = header, browser.header
        assert browser.ask(is_new).json is True
        browser.header = kept


@everywhere
def test_of_several_cookies_the_valid_one_wins(front: Front) -> None:
    """A subdomain can plant a cookie of our name; it cannot push ours aside."""
    browser = signed_in(front)
    browser.header = f"__session=planted; __session=; {browser.header}; __session=planted"
    assert browser.ask(gets("user")).json == "Ada"


@both
def test_a_huge_header_is_no_session(name: str) -> None:
    """A megabyte of cookies of our name is read and refused."""
    with front_of(name, Made(MemoryStorage())) as front:
        browser = front.browser()
        for header in ("__session=" + "A" * 1_000_000, "__session=a;" * 90_000, ";" * 1_000_000):
            browser.header = header
            assert browser.ask(is_new).json is True


async def ask_with_fields(storage: SessionStorage, fields: list[str]) -> Answer:
    """Send a request with so many Cookie fields, as HTTP/2 allows (RFC 9113, 8.2.3)."""
    scope = scope_of(None, {"test.handler": gets("user"), "test.headers": []})
    scope["headers"] = [(b"cookie", field.encode()) for field in fields]
    answered = Sent()
    await session(COOKIE, storage)(asgi_app)(scope, nothing_received, answered)
    return answered.answer


@pytest.mark.parametrize("field", ["a=b", "__session=a", "__session=" + "A" * 40, ""])
def test_many_fields_of_one_name_cost_linear_time(field: str) -> None:
    """In quadratic time this would take minutes; what comes beyond a limit is ignored."""
    storage = MemoryStorage()
    with front_of("asgi", Made(storage)) as front:
        ours = signed_in(front).header or ""
    many = [field] * 200_000
    first = asyncio.run(ask_with_fields(storage, [ours, *many]))
    last = asyncio.run(ask_with_fields(storage, [*many, ours]))
    assert (first.json, last.json) == ("Ada", None)
    assert last.all("set-cookie") == []


def test_a_few_fields_of_one_name_are_one_header() -> None:
    """Clients that split it are served."""
    storage = MemoryStorage()
    with front_of("asgi", Made(storage)) as front:
        ours = signed_in(front).header or ""
    answer = asyncio.run(ask_with_fields(storage, ["a=b", "c=d; e=f", ours, "g=h"]))
    assert answer.json == "Ada"


@both
def test_a_removal_carries_the_attributes_of_its_cookie(name: str) -> None:
    """Or the browser would keep the one it is meant to remove."""
    cookie = Cookie(
        "s", secrets=[SECRET], domain="example.org", path="/shop", samesite="None", partitioned=True
    )
    with front_of(name, Made(MemoryStorage())) as front:
        browser = signed_in(front, cookie)
        (line,) = browser.ask(Session.destroy).all("set-cookie")
    assert line == (
        "s=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Domain=example.org; Path=/shop; "
        "Secure; HttpOnly; SameSite=None; Partitioned"
    )


FORWARDED = {
    "x-forwarded-proto": "https",
    "x-forwarded-ssl": "on",
    "x-forwarded-host": "evil.example",
    "x-forwarded-for": "127.0.0.1",
    "forwarded": "for=127.0.0.1;host=evil.example;proto=https",
}


def cookie_over(name: str, cookie: Cookie, scheme: str, sent: Mapping[str, str]) -> str:
    """Return the first cookie that a visitor gets over this scheme, less its value."""
    sessions = session(cookie, MemoryStorage())
    more: dict[str, object] = {"test.handler": sets(user="Ada"), "test.headers": []}
    if name == "wsgi":
        given = {f"HTTP_{key.upper().replace('-', '_')}": text for key, text in sent.items()}
        environ = environ_of(None, {**more, **given, "wsgi.url_scheme": scheme})
        (line,) = served(sessions.wsgi(wsgi_app), environ).all("set-cookie")
    else:
        headers = [(key.encode(), text.encode()) for key, text in sent.items()]
        scope = {**scope_of(None, more), "scheme": scheme, "headers": headers}
        answered = Sent()
        asyncio.run(sessions(asgi_app)(scope, nothing_received, answered))
        (line,) = answered.answer.all("set-cookie")
    return line.partition(";")[2]


@both
@pytest.mark.parametrize("secure", [True, False])
def test_no_header_and_no_scheme_changes_the_cookie(name: str, *, secure: bool) -> None:
    """Secure is what the cookie says, over http and https, whatever a client claims."""
    cookie = Cookie("s", secrets=[SECRET], secure=secure, max_age=60)
    seen = {
        cookie_over(name, cookie, scheme, headers)
        for scheme in ("http", "https")
        for headers in ({}, FORWARDED)
    }
    (attributes,) = seen
    assert ("; Secure" in attributes) is secure


def test_no_forwarding_header_is_believed() -> None:
    """
    No forwarding header is read anywhere. The scheme, which a server may take from one, is a fact
    of a `Visit`; it is handed on to `rejections` alone, which says in the log why a browser will
    lose a cookie.
    """
    forwarded = re.compile(r"[\"']((http_)?x[-_])?forwarded", re.IGNORECASE)
    texts = {path.relative_to(SOURCE): path.read_text() for path in SOURCE.rglob("*.py")}
    assert [name for name, text in texts.items() if forwarded.search(text)] == []
    reads = re.compile(r"url_scheme|scope\[.scheme.\]|scope\.get\(.scheme.|request\.scheme")
    facts = {str(name) for name, text in texts.items() if reads.search(text)}
    hosts = {name for name in facts if name.startswith("frameworks/")} | {"asgi.py", "wsgi.py"}
    assert facts == hosts
    uses = re.compile(r"\b(visit|seen)\.scheme")
    used = {str(name): len(uses.findall(text)) for name, text in texts.items()}
    assert {name: times for name, times in used.items() if times} == {
        "_request/cycle.py": 1,  # what it hands to `Rejections`
        "_cookie/rejections.py": 1,
    }

"""A cookie that the browser will lose: one line in the log says why."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coatcheck import Cookie, Session, asgi, session
from coatcheck._cookie.rejections import Rejections, Seen, reasons
from coatcheck.storage import CookieStorage
from tests.hosts import SECRET

NOW = datetime(2030, 1, 1, tzinfo=UTC)
HTTPS = {"scheme": "https", "host": "example.org", "path": "/cart"}


def cookie(**options: Any) -> Cookie:
    return Cookie("visit", secrets=[SECRET], **options)


def found(options: dict[str, Any], **seen: str) -> list[str]:
    """Return the attributes for which a cookie is lost."""
    return list(reasons(cookie(**options), Seen(**seen), NOW))


@pytest.mark.parametrize(
    ("scheme", "host", "lost"),
    [
        ("http", "example.org", True),
        ("http", "testserver", True),
        ("ws", "example.org:8000", True),
        ("http", "192.168.1.5:8000", True),
        ("http", "[2001:db8::1]:8000", True),
        ("http", "localhost.example.org", True),
        ("https", "example.org", False),
        ("wss", "example.org", False),
        ("http", "localhost:8000", False),
        ("http", "LOCALHOST", False),
        ("http", "shop.localhost:8000", False),
        ("http", "127.0.0.1:8000", False),
        ("http", "127.3.2.1", False),
        ("http", "[::1]:8000", False),
        ("http", "", False),
        ("", "example.org", False),
    ],
)
def test_a_secure_cookie_over_http(scheme: str, host: str, *, lost: bool) -> None:
    """It is lost, but where some browsers trust the machine they run on; unknown is no reason."""
    assert found({}, scheme=scheme, host=host, path="/") == ["secure"] * lost
    assert found({"secure": False}, scheme=scheme, host=host, path="/") == []


@pytest.mark.parametrize(
    ("agent", "host", "lost"),
    [
        ("AppleWebKit/605.1.15 Version/18.0 Safari/605.1.15", "localhost:8000", True),
        ("AppleWebKit/605.1.15 CriOS/140.0 Mobile/15E148 Safari/604.1", "127.0.0.1", True),
        ("AppleWebKit/537.36 Chrome/140.0 Safari/537.36", "localhost:8000", False),
        ("Gecko/20100101 Firefox/140.0", "localhost:8000", False),
        ("", "localhost:8000", False),
    ],
)
def test_a_secure_cookie_on_this_machine_in_safari(agent: str, host: str, *, lost: bool) -> None:
    """Other browsers trust localhost without TLS, Safari does not."""
    seen = {"scheme": "http", "host": host, "path": "/", "agent": agent}
    assert found({}, **seen) == ["safari"] * lost
    assert found({"secure": False}, **seen) == []


@pytest.mark.parametrize(
    ("hosts", "times"),
    [
        (["localhost:8000", "127.0.0.1:8000", "localhost"], 1),
        (["localhost", "localhost:8000"], 0),
        (["a.localhost", "b.localhost", "localhost"], 0),
        (["example.org", "example.com", "127.0.0.1"], 0),
    ],
)
def test_one_machine_under_two_names(
    hosts: list[str], times: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Browsers keep the cookies apart; one application may well serve several domains."""
    rejections = Rejections(cookie())
    for host in hosts:
        rejections.check(Seen("http" if times else "https", host, "/"), NOW)
    assert len(caplog.records) == times
    for record in caplog.records:
        assert "was set for 'localhost', and now for '127.0.0.1'" in record.getMessage()


@pytest.mark.parametrize(
    ("domain", "host", "lost"),
    [
        ("example.org", "example.org", False),
        ("example.org", "www.example.org:8443", False),
        ("example.org", "WWW.EXAMPLE.ORG.", False),
        (".example.org", "www.example.org", False),
        ("example.org", "badexample.org", True),
        ("www.example.org", "example.org", True),
        ("example.org", "example.com", True),
        ("example.org", "127.0.0.1", True),
        ("0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.1:8000", False),
        ("example.org", "", False),
    ],
)
def test_a_domain_that_does_not_cover_the_host(domain: str, host: str, *, lost: bool) -> None:
    """RFC 6265bis, 5.1.3: the host itself or a parent of it; an address only as it is."""
    assert found({"domain": domain}, **{**HTTPS, "host": host}) == ["domain"] * lost


@pytest.mark.parametrize(
    ("path", "asked", "lost"),
    [
        ("/", "/cart", False),
        ("/shop", "/shop", False),
        ("/shop", "/shop/cart", False),
        ("/shop/", "/shop/cart", False),
        ("/shop/", "/shop", True),
        ("/shop", "/shopping", True),
        ("/shop", "/cart", True),
        (None, "/cart", False),
        ("/shop", "", False),
    ],
)
def test_a_path_that_does_not_cover_the_page(path: str | None, asked: str, *, lost: bool) -> None:
    """RFC 6265bis, 5.1.4: the page that began the session would not see it again."""
    assert found({"path": path}, **{**HTTPS, "path": asked}) == ["path"] * lost


@pytest.mark.parametrize(
    ("samesite", "site", "destination", "lost"),
    [
        ("Lax", "cross-site", "empty", True),
        ("Strict", "cross-site", "iframe", True),
        ("Lax", "cross-site", "document", False),
        ("Lax", "cross-site", "", False),
        ("Lax", "same-site", "empty", False),
        ("Lax", "", "empty", False),
        ("None", "cross-site", "empty", False),
        (None, "cross-site", "empty", False),
    ],
)
def test_a_samesite_cookie_for_a_page_of_another_site(
    samesite: Any, site: str, destination: str, *, lost: bool
) -> None:
    """Browsers keep it only from a page of its own in a tab; without SameSite they differ."""
    seen = {**HTTPS, "site": site, "destination": destination}
    assert found({"samesite": samesite}, **seen) == ["samesite"] * lost


@pytest.mark.parametrize(
    ("ago", "max_age", "lost"), [(1, None, True), (-1, None, False), (1, 9, False)]
)
def test_a_cookie_that_is_too_old_already(ago: int, max_age: int | None, *, lost: bool) -> None:
    """An Expires that was in the future when the application started; Max-Age comes before it."""
    options = {"expires": NOW - timedelta(seconds=ago), "max_age": max_age}
    assert found(options, **HTTPS) == ["expires"] * lost


def test_a_client_that_sends_anything_is_no_error() -> None:
    """Hosts and paths are a client's: they are quoted and cut, never trusted."""
    for host in ("[", "[::1", "]", ":", "\n\r", "a" * 99_999, "\xff", "[v1.x]"):
        found = reasons(cookie(domain="example.org"), Seen("http", host, host), NOW)
        for reason in found.values():
            assert "\n" not in reason
            assert len(reason) < 1000


def test_each_reason_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Once for each cookie and reason, however many requests there are."""
    rejections = Rejections(cookie(path="/shop"))
    for _ in range(3):
        rejections.check(Seen("http", "example.org", "/"), NOW)
    assert len(caplog.records) == 2
    assert all(record.levelno == logging.WARNING for record in caplog.records)


def write(found: Session) -> None:
    found["user"] = "Ada"


def ask_asgi(scheme: str, headers: list[tuple[str, str]], change: Callable[[Session], None]) -> str:
    """Ask once, and return the Set-Cookie header."""

    async def app(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
        change(scope["session"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    sent: list[asgi.Message] = []

    async def receive() -> asgi.Message:
        return {"type": "http.disconnect"}

    async def send(message: asgi.Message) -> None:
        sent.append(message)

    pairs = [(name.encode(), value.encode()) for name, value in headers]
    scope = {"type": "http", "scheme": scheme, "headers": pairs, "path": "/", "root_path": ""}
    asyncio.run(SESSIONS(app)(scope, receive, send))
    fields: dict[bytes, bytes] = dict(sent[0]["headers"])
    return fields.get(b"set-cookie", b"").decode()


def ask_wsgi(scheme: str, headers: list[tuple[str, str]], change: Callable[[Session], None]) -> str:
    """Ask once, and return the Set-Cookie header."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        change(environ["coatcheck.session"])
        start_response("200 OK", [])
        return [b""]

    sent: dict[str, str] = {}
    environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers}
    environ |= {"wsgi.url_scheme": scheme, "SCRIPT_NAME": "", "PATH_INFO": "/"}
    list(SESSIONS.wsgi(app)(environ, lambda _, given, __=None: sent.update(given)))  # type: ignore[arg-type]
    return sent.get("Set-Cookie", "")


@pytest.fixture(params=[ask_asgi, ask_wsgi])
def ask(request: pytest.FixtureRequest) -> Callable[..., str]:
    global SESSIONS  # noqa: PLW0603 - each test has what was said to itself
    SESSIONS = session(cookie(), CookieStorage())
    return request.param  # type: ignore[no-any-return]


SESSIONS = session(cookie(), CookieStorage())


def test_the_first_cookie_of_a_visitor_is_checked(
    ask: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    """Both shells: a Secure cookie over http is one line, with what to do, and no data in it."""
    sent = ask("http", [("host", "example.org")], write)
    ask("http", [("host", "example.org")], write)
    (record,) = caplog.records
    text = record.getMessage()
    assert "cookie 'visit' will be lost: it is Secure" in text
    assert "proxy" in text
    assert sent.partition(";")[0].partition("=")[2] not in text
    assert "Ada" not in text


def test_a_forged_header_changes_nothing(
    ask: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    """X-Forwarded-Proto neither hides the warning nor makes one."""
    ask("https", [("host", "example.org"), ("x-forwarded-proto", "http")], write)
    assert not caplog.records
    ask("http", [("host", "example.org"), ("x-forwarded-proto", "https")], write)
    assert len(caplog.records) == 1


def test_who_sent_the_cookie_back_has_shown_that_it_is_kept(
    ask: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    """A later cookie is not looked at: behind a proxy http may be all that the server sees."""
    sent = ask("https", [("host", "example.org")], write)
    headers = [("host", "example.org"), ("cookie", sent.partition(";")[0])]
    assert ask("http", headers, lambda found: found.set("more", 1))
    assert not caplog.records


def test_where_no_cookie_is_sent_nothing_is_said(
    ask: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    """A visitor who only looks gets no cookie, and so loses none."""
    assert not ask("http", [("host", "example.org")], lambda found: found.get("user"))
    assert not caplog.records

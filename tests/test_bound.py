"""What only a session that is bound to a device may do, behind ASGI and WSGI."""

import asyncio
from collections.abc import Callable
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from coatcheck import Bound, ConfigurationError, Cookie, Session, require_bound, session
from coatcheck._session.binding import UNDER_WAY
from coatcheck.csrf import cross_origin, csrf
from coatcheck.storage import MemoryStorage
from coatcheck.testing import Clock
from tests.devices import Key
from tests.hosts import SECRET

COOKIE = Cookie("__Host-shop", secrets=[SECRET])

ITSELF = {
    "sec-fetch-site": "same-origin",
    "sec-fetch-mode": "no-cors",
    "sec-fetch-dest": "empty",
    "content-length": "0",
}

Answer = tuple[int, list[tuple[str, str]]]


class Browser:
    """Ask an application by either protocol, and keep its cookies."""

    def __init__(self, protocol: str, clock: Clock, **options: Any) -> None:
        storage = MemoryStorage(clock=clock)
        self._sessions = session(COOKIE, storage, **options)
        self._protocol = protocol
        self.cookies: dict[str, str] = {}

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Return status and headers; the names of *headers* have "_" for "-"."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={it}" for name, it in self.cookies.items())
        status, given = (self._asgi if self._protocol == "asgi" else self._wsgi)(path, method, sent)
        for name, value in given:
            if name.lower() == "set-cookie":
                cookie, _, rest = value.partition("=")
                self.cookies[cookie] = rest.partition(";")[0]
        return status, [(name.lower(), value) for name, value in given]

    def signs_in(self) -> Answer:
        """Sign in and register; return the answer to the registration."""
        _, headers = self.ask("/sign-in")
        offer = dict(headers)["secure-session-registration"]
        parts = dict(part.split("=", 1) for part in offer.split(";")[1:])
        challenge, authorization = (parts[key].strip('"') for key in ("challenge", "authorization"))
        proof = Key().registers(challenge, authorization)
        return self.ask(parts["path"].strip('"'), "POST", secure_session_response=proof, **_ITSELF)

    def _asgi(self, path: str, method: str, sent: dict[str, str]) -> Answer:
        answers: list[Any] = []

        async def pages(scope: Any, _: Any, send: Any) -> None:
            if path == "/sign-in":
                scope["coatcheck.session"].sign_in("ada")
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        async def send(message: Any) -> None:
            answers.append(message)

        app = pages if path == "/sign-in" else require_bound()(pages)
        scope = {"type": "http", "method": method, "path": path}
        headers = [(name.encode(), value.encode()) for name, value in sent.items()]
        whole = self._sessions(app)({**scope, "headers": headers}, _nothing, send)
        asyncio.run(whole)
        given = [(name.decode(), value.decode()) for name, value in answers[0]["headers"]]
        return answers[0]["status"], given

    def _wsgi(self, path: str, method: str, sent: dict[str, str]) -> Answer:
        answers: list[Answer] = []

        def pages(environ: Any, start_response: Any) -> list[bytes]:
            if path == "/sign-in":
                environ["coatcheck.session"].sign_in("ada")
            start_response("200 OK", [])
            return []

        def start(status: str, headers: Any, _: Any = None) -> Any:
            answers.append((int(status[:3]), headers))

        app = pages if path == "/sign-in" else require_bound().wsgi(pages)
        environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "CONTENT_LENGTH": "0"}
        for name, value in sent.items():
            if name != "content-length":
                environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
        setup_testing_defaults(environ)
        list(self._sessions.wsgi(app)(environ, start))
        return answers[0]


_ITSELF = {name.replace("-", "_"): value for name, value in ITSELF.items()}


async def _nothing() -> dict[str, Any]:
    return {"type": "http.disconnect"}


@pytest.fixture(params=["asgi", "wsgi"])
def browser_with(request: pytest.FixtureRequest, clock: Clock) -> Callable[..., Browser]:
    return lambda **options: Browser(request.param, clock, **options)


def test_only_a_bound_session_passes(browser_with: Callable[..., Browser], clock: Clock) -> None:
    """No visitor, no free session, and none whose request was only under way."""
    browser = browser_with(bound=Bound(required=True))
    status, headers = browser.ask("/transfers")
    assert (status, "refresh" in dict(headers)) == (403, False)
    assert ("vary", "Cookie") in headers
    browser.signs_in()
    assert browser.ask("/transfers")[0] == 200
    del browser.cookies["__Host-shop-bound"]
    assert browser.ask("/transfers")[0] == 403
    clock.advance(UNDER_WAY)
    assert browser.ask("/transfers")[0] == 403


def test_a_page_waits_for_the_registration(
    browser_with: Callable[..., Browser], clock: Clock
) -> None:
    """It loads itself again while the browser may still register; what is sent does not."""
    browser = browser_with(bound=Bound(required=True))
    browser.ask("/sign-in")
    status, headers = browser.ask("/transfers")
    assert (status, dict(headers)["refresh"]) == (403, "1")
    assert "refresh" not in dict(browser.ask("/transfers", "POST")[1])
    clock.advance(UNDER_WAY)
    assert "refresh" not in dict(browser.ask("/transfers")[1])


def test_where_nothing_is_required_everything_passes(
    browser_with: Callable[..., Browser],
) -> None:
    """So the guards can be there before the switch is set."""
    browser = browser_with(bound=Bound())
    assert browser.ask("/transfers")[0] == 200


def test_checks_of_forms_let_the_browsers_requests_through(clock: Clock) -> None:
    """One outside sees the own origin; one inside is never asked."""
    sessions = session(COOKIE, MemoryStorage(clock=clock), bound=Bound())
    seen: list[str] = []

    def pages(environ: Any, start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/sign-in":
            environ["coatcheck.session"].sign_in("ada")
        start_response("200 OK", [])
        return []

    app = cross_origin().wsgi(sessions.wsgi(csrf().wsgi(pages)))

    def ask(path: str, method: str, cookie: str, **headers: str) -> dict[str, str]:
        environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "HTTP_COOKIE": cookie}
        environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        setup_testing_defaults(environ)
        given: list[tuple[str, str]] = []

        def start(status: str, headers: Any, _: Any = None) -> Any:
            seen.append(status[:3])
            given.extend((name.lower(), value) for name, value in headers)

        list(app(environ, start))
        return dict(given)

    answer = ask("/sign-in", "GET", "")
    cookie = answer["set-cookie"].partition(";")[0]
    told = answer["secure-session-registration"].split(";")[1:]
    offer = dict(part.split("=", 1) for part in told)
    proof = Key().registers(offer["challenge"].strip('"'), offer["authorization"].strip('"'))
    own = {**_ITSELF, "origin": "http://127.0.0.1", "secure_session_response": proof}
    ask("/_session/register", "POST", cookie, **own)
    assert seen == ["200", "200"]
    ask("/_session/register", "POST", cookie, **{**own, "sec_fetch_site": "cross-site"})
    assert seen[2:] == ["403"]


def test_a_guard_outside_of_bound_sessions_is_refused(
    browser_with: Callable[..., Browser],
) -> None:
    """Else it would guard nothing, or everything."""
    with pytest.raises(ConfigurationError, match="must run inside of session"):
        browser_with().ask("/transfers")
    with pytest.raises(ConfigurationError, match="must run inside of session"):
        require_bound().wsgi(lambda *_: [])({}, lambda *_: None)  # type: ignore[arg-type]


def test_a_websocket_is_closed_and_a_lifespan_passes() -> None:
    """With the code for a broken policy."""
    sent: list[Any] = []

    async def app(scope: Any, *_: Any) -> None:
        sent.append(scope["type"])

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        guarded = require_bound()(app)
        found = Session()
        sessions = session(COOKIE, MemoryStorage(), bound=Bound(required=True))
        found._draft = sessions._cycle.visitor
        scope = {"type": "websocket", "coatcheck.session": found}
        await guarded(scope, _nothing, send)
        await guarded({"type": "lifespan"}, _nothing, send)

    asyncio.run(run())
    assert sent == [{"type": "websocket.close", "code": 1008}, "lifespan"]

"""
How an application is called without a server: ASGI with a made scope, WSGI with a made environ.

A driver makes requests beforehand, and times each call alone: what stands between two calls costs
nothing. Every request is made of new objects, as a server makes them: a subject that remembers what
it has seen must look it up by its text.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any, Protocol

from benchmarks.loop import wait

App = Any
Request = Any

OTHER_HEADERS = [
    (b"host", b"example.com"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"connection", b"keep-alive"),
]
"""What a browser sends beside its cookies."""


@dataclass
class Answer:
    """What a client has after its request: the cookie to send next, and the body."""

    cookie: str | None
    body: bytes


class Driver(Protocol):
    """Calls applications of one kind."""

    def request(self, cookie: str | None, /) -> Request:
        """Return a request that carries a cookie, "name=value"."""

    def ask(self, app: App, cookie: str | None, /) -> Answer:
        """Return the answer to one request; nothing is timed."""

    def timed(self, app: App, requests: list[Request], /) -> int:
        """Return the nanoseconds that the calls take."""

    def followed(self, app: App, requests: list[Request], cookie: str, /) -> tuple[int, str]:
        """Return the same where each request carries the cookie that was set last, and that."""


def after(cookie: str | None, set_cookies: Iterable[str]) -> str | None:
    """Return the cookie that a client sends next."""
    given = [header.partition(";")[0] for header in set_cookies]
    return "; ".join(given) if given else cookie


class Asgi:
    """Calls ASGI applications."""

    def request(self, cookie: str | None) -> dict[str, Any]:
        headers = list(OTHER_HEADERS)
        if cookie:
            headers.append((b"cookie", cookie.encode()))
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 443),
            "state": {},
        }

    def ask(self, app: App, cookie: str | None) -> Answer:
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        wait(app(self.request(cookie), _receive, send))
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(after(cookie, _set_cookies(sent[0])), body)

    def timed(self, app: App, requests: list[dict[str, Any]]) -> int:
        return wait(self._timed(app, requests))

    def followed(self, app: App, requests: list[dict[str, Any]], cookie: str) -> tuple[int, str]:
        return wait(self._followed(app, requests, cookie))

    async def _timed(self, app: App, requests: list[dict[str, Any]]) -> int:
        total = 0
        for scope in requests:
            begun = perf_counter_ns()
            await app(scope, _receive, _send)
            total += perf_counter_ns() - begun
        return total

    async def _followed(
        self, app: App, requests: list[dict[str, Any]], cookie: str
    ) -> tuple[int, str]:
        total = 0
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        for scope in requests:
            scope["headers"][-1] = (b"cookie", cookie.encode())
            begun = perf_counter_ns()
            await app(scope, _receive, send)
            total += perf_counter_ns() - begun
            cookie = after(cookie, _set_cookies(sent[0])) or cookie
            sent.clear()
        return total, cookie


class Wsgi:
    """Calls WSGI applications, to the end of their body."""

    def request(self, cookie: str | None) -> dict[str, Any]:
        environ = {
            f"HTTP_{name.decode().upper().replace('-', '_')}": value.decode()
            for name, value in OTHER_HEADERS
        }
        if cookie:
            environ["HTTP_COOKIE"] = cookie.encode().decode()
        return environ | {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/",
            "QUERY_STRING": "",
            "SERVER_NAME": "example.com",
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }

    def ask(self, app: App, cookie: str | None) -> Answer:
        given: list[tuple[str, str]] = []
        body = _called(app, self.request(cookie), lambda _, headers, *__: given.extend(headers))
        return Answer(after(cookie, _named(given, "set-cookie")), body)

    def timed(self, app: App, requests: list[dict[str, Any]]) -> int:
        total = 0
        for environ in requests:
            begun = perf_counter_ns()
            _called(app, environ, _start_response)
            total += perf_counter_ns() - begun
        return total

    def followed(self, app: App, requests: list[dict[str, Any]], cookie: str) -> tuple[int, str]:
        total = 0
        given: list[tuple[str, str]] = []

        def start_response(_: str, headers: list[tuple[str, str]], *__: object) -> None:
            given.extend(headers)

        for environ in requests:
            environ["HTTP_COOKIE"] = cookie.encode().decode()
            begun = perf_counter_ns()
            _called(app, environ, start_response)
            total += perf_counter_ns() - begun
            cookie = after(cookie, _named(given, "set-cookie")) or cookie
            given.clear()
        return total, cookie


def _called(app: App, environ: dict[str, Any], start_response: Any) -> bytes:
    body = app(environ, start_response)
    try:
        return b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()


def _start_response(*_: object) -> None:
    pass


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: dict[str, Any]) -> None:
    pass


def _set_cookies(start: dict[str, Any]) -> list[str]:
    return [value.decode() for name, value in start["headers"] if name.lower() == b"set-cookie"]


def _named(headers: list[tuple[str, str]], name: str) -> list[str]:
    return [value for key, value in headers if key.lower() == name]

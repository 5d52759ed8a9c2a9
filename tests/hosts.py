"""
Two front ends for the same steps: the handler of a request is a function over its session.

`Asgi` and `Wsgi` list the same members. What a handler returns is the body, as JSON.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any, Protocol
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from coatcheck import Cookie, Session, asgi, session, wsgi
from coatcheck._request.wsgi_types import Write
from coatcheck.storage import SessionStorage
from coatcheck.storage.keyed import KeyedStorage

SECRET = "a secret of more than thirty-two characters"
COOKIE = Cookie("__session", secrets=[SECRET], max_age=14 * 24 * 3600)

Handler = Callable[[Session], object]
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """What came back, the names of the headers in lower case."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Return the values of a header, one a line."""
        return [value for given, value in self.headers if given == name]

    @property
    def json(self) -> Any:
        """What the handler returned."""
        return json.loads(self.body)


@dataclass
class Browser:
    """Keep the session cookie, and send it along."""

    send: Callable[[Handler, str | None, Headers], Answer]
    cookie: Cookie = COOKIE
    header: str | None = None

    def ask(self, handler: Handler, *, headers: Headers = ()) -> Answer:
        """Let *handler* run in a request; *headers* are those of its response."""
        return self.take(self.send(handler, self.header, headers))

    def take(self, answer: Answer) -> Answer:
        """Keep the session cookie of an answer."""
        for line in answer.all("set-cookie"):
            pair, _, attributes = line.partition(";")
            if pair.startswith(f"{self.cookie.name}="):
                self.header = None if "Max-Age=0;" in attributes else pair
        return answer

    @property
    def value(self) -> str | None:
        """What the storage made of the session."""
        return self.cookie.parse(self.header)


class Front(Protocol):
    """A way in: browsers over a storage, and a look into that."""

    storage: SessionStorage

    def browser(self, cookie: Cookie = COOKIE, **options: Any) -> Browser:
        """Return a browser of an application whose sessions have these options."""

    def read(self, value: str | None) -> Session:
        """Return what the storage holds."""


class Asgi:
    """ASGI applications in an event loop of their own."""

    def __init__(self, storage: SessionStorage) -> None:
        self.storage = storage
        self.runner = asyncio.Runner()

    def browser(self, cookie: Cookie = COOKIE, **options: Any) -> Browser:
        app = session(cookie, self.storage, **options)(asgi_app)

        def send(handler: Handler, cookie: str | None, headers: Headers) -> Answer:
            return self.runner.run(ask_asgi(app, handler, cookie, headers))

        return Browser(send, cookie)

    def read(self, value: str | None) -> Session:
        async def read() -> Session:
            aio = self.storage.aio if isinstance(self.storage, KeyedStorage) else None
            found = (aio or self.storage).read(value)
            return found if isinstance(found, Session) else await found

        return self.runner.run(read())


class Wsgi:
    """WSGI applications, watched by the validator of the standard library."""

    def __init__(self, storage: SessionStorage) -> None:
        self.storage = storage

    def browser(self, cookie: Cookie = COOKIE, **options: Any) -> Browser:
        app = validator(session(cookie, self.storage, **options).wsgi(wsgi_app))

        def send(handler: Handler, cookie: str | None, headers: Headers) -> Answer:
            return ask_wsgi(app, handler, cookie, headers)

        return Browser(send, cookie)

    def read(self, value: str | None) -> Session:
        found = self.storage.read(value)
        assert isinstance(found, Session)
        return found


async def asgi_app(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
    """Run the handler that came with the request."""
    said = scope["test.handler"](scope["session"])
    body = json.dumps(await said if isawaitable(said) else said)
    headers = [(name.encode(), value.encode()) for name, value in scope["test.headers"]]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode()})


def wsgi_app(environ: wsgi.Environ, start_response: wsgi.StartResponse) -> Iterable[bytes]:
    """Run the handler that came with the request."""
    said = environ["test.handler"](environ["coatcheck.session"])
    start_response("200 OK", [("Content-Type", "text/plain"), *environ["test.headers"]])
    return [json.dumps(said).encode()]


@dataclass
class Sent:
    """Messages that an ASGI application sent."""

    messages: list[MutableMapping[str, Any]] = field(default_factory=list)

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        self.messages.append(message)

    @property
    def answer(self) -> Answer:
        start, *parts = self.messages
        headers = [(name.decode().lower(), text.decode()) for name, text in start["headers"]]
        return Answer(start["status"], headers, b"".join(part["body"] for part in parts))


async def nothing_received() -> MutableMapping[str, Any]:
    """Return a request's body: there is none."""
    return {"type": "http.request", "body": b"", "more_body": False}


def scope_of(cookie: str | None = None, more: Mapping[str, object] | None = None) -> dict[str, Any]:
    """Return the scope of an HTTP request."""
    headers = [(b"host", b"example.org")]
    if cookie is not None:
        headers.append((b"cookie", cookie.encode("latin-1")))
    return {"type": "http", "method": "GET", "path": "/", "headers": headers, **(more or {})}


def environ_of(
    cookie: str | None = None, more: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """Return the environ of a request."""
    environ: dict[str, Any] = {"QUERY_STRING": "", **(more or {})}
    if cookie is not None:
        environ["HTTP_COOKIE"] = cookie
    setup_testing_defaults(environ)
    return environ


async def ask_asgi(
    app: Callable[[asgi.Scope, asgi.Receive, asgi.Send], Awaitable[None]],
    handler: Callable[[Session], object],
    cookie: str | None = None,
    headers: Headers = (),
) -> Answer:
    """Send one request through the middleware over `asgi_app`."""
    sent = Sent()
    scope = scope_of(cookie, {"test.handler": handler, "test.headers": headers})
    await app(scope, nothing_received, sent)
    theirs = {name.encode() for name, _ in headers}
    ours = [name for name, _ in sent.messages[0]["headers"] if name not in theirs]
    assert ours == [name.lower() for name in ours], "ASGI: names in lower case"
    return sent.answer


def ask_wsgi(
    app: Callable[..., Iterable[bytes]],
    handler: Handler,
    cookie: str | None = None,
    headers: Headers = (),
) -> Answer:
    """Send one request through the middleware over `wsgi_app`."""
    environ = environ_of(cookie, {"test.handler": handler, "test.headers": headers})
    return served(app, environ)


def served(app: Callable[..., Iterable[bytes]], environ: wsgi.Environ) -> Answer:
    """Serve one request as a WSGI server does."""
    started: list[tuple[str, wsgi.Headers]] = []
    parts: list[bytes] = []

    def start_response(status: str, headers: wsgi.Headers, _: object = None) -> Write:
        started.append((status, headers))
        return parts.append

    body = app(environ, start_response)
    try:
        parts.extend(body)
    finally:
        if hasattr(body, "close"):
            body.close()
    status, headers = started[-1]
    lowered = [(name.lower(), value) for name, value in headers]
    return Answer(int(status.split()[0]), lowered, b"".join(parts))

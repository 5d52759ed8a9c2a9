"""Small ASGI applications with sessions, served message by message."""

import asyncio
from collections.abc import Callable
from typing import Any

from coatcheck import BackendError, Session, asgi, session
from coatcheck.storage import AsyncKeyedStorage, KeyedStorage, Refused, SessionStorage, Stored
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.storage.clock import system_clock
from tests.hosts import COOKIE, Sent, asgi_app, ask_asgi, nothing_received, scope_of

START = {"type": "http.response.start", "status": 200, "headers": []}
END = {"type": "http.response.body", "body": b""}

ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close"}


def fill(storage: SessionStorage, **values: Any) -> str:
    """Return the Cookie header of a session that holds *values*."""
    stored = storage.read(None)
    assert isinstance(stored, Session)
    stored.update(values)
    value = storage.save(stored)
    assert isinstance(value, str)
    return COOKIE.serialize(value).partition(";")[0]


def look(storage: SessionStorage, header: str | None) -> Session:
    """Return what is stored for a Cookie header."""
    stored = storage.read(COOKIE.parse(header))
    assert isinstance(stored, Session)
    return stored


def run(app: asgi.ASGIApp, scope: asgi.Scope, storage: SessionStorage, **options: Any) -> Sent:
    """Serve one request of *app* with sessions."""
    sent = Sent()
    asyncio.run(session(COOKIE, storage, **options)(app)(scope, nothing_received, sent))
    return sent


def answers(*steps: Callable[[Session], object]) -> asgi.ASGIApp:
    """Return an application that does *steps*: before the headers leave, after, after that..."""

    async def app(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
        steps[0](scope["session"])
        await send(START)
        for step in steps[1:]:
            step(scope["session"])
        await send(END)

    return app


def connection(cookie: str | None = None) -> dict[str, Any]:
    """Return the scope of a WebSocket."""
    return {**scope_of(cookie), "type": "websocket"}


def speaks(*steps: Callable[[Session], object] | dict[str, Any]) -> asgi.ASGIApp:
    """Return an application at a WebSocket that sends messages and works on the session in turn."""

    async def app(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
        for step in steps:
            if isinstance(step, dict):
                await send(step)
            else:
                step(scope["session"])

    return app


def sets(**values: Any) -> Callable[[Session], object]:
    """Return a step that sets these values."""
    return lambda session: session.update(values)


def touches(session: Session) -> None:
    session.get("anything")


def ignores(_: Session) -> None:
    return None


class Awaited:
    """A `MemoryBackend` whose methods are awaited, and in which a test can stop a write."""

    def __init__(self) -> None:
        self.memory = MemoryBackend(max_records=10, clock=system_clock)
        self.stops_at: Callable[[object], bool] = lambda _: False
        self.reached = asyncio.Event()
        self.released = asyncio.Event()
        self.fails = False

    async def get(self, key: str) -> Stored | None:
        return self.memory.get(key)

    async def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        if self.stops_at(version):
            self.reached.set()
            await self.released.wait()
        if self.fails:
            raise BackendError("the server", "write")
        return self.memory.swap(key, version, record, ttl)

    async def delete(self, key: str) -> None:
        self.memory.delete(key)


class Stopped:
    """A request over an `Awaited` backend that stands still in the middle of a write."""

    def __init__(self, backend: Awaited) -> None:
        self.backend = backend
        self.storage = KeyedStorage(backend.memory)
        self.header = fill(self.storage, user=1)
        self.middleware = session(COOKIE, AsyncKeyedStorage(backend))(asgi_app)

    async def ask(self, handler: Callable[[Session], object]) -> None:
        await ask_asgi(self.middleware, handler, self.header)

    async def saved(self) -> None:
        """Release the write, and wait until the save is done."""
        self.backend.released.set()
        while self.middleware._shell._calls._shield._under_way:
            await asyncio.wait(self.middleware._shell._calls._shield._under_way)

    @property
    def moved(self) -> bool:
        """Whether the move was carried out whole: two records, and the old id leads nowhere."""
        marked = look(self.storage, self.header).is_new
        return marked and len(self.backend.memory) == 2


def move(session: Session) -> None:
    session.regenerate_id()


def is_known(version: object) -> bool:
    """Tell a write over something from a claim: in a move, the marker from the new record."""
    return version is not None


def stopped() -> Stopped:
    """Return a request to be stopped between the claim of a new id and the marker at the old."""
    backend = Awaited()
    backend.stops_at = is_known
    return Stopped(backend)

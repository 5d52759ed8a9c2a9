"""
Sessions in the tests of an application.

    kit = SessionKit(cookie, storage)
    kit.put(client, user="ada")                  sign a client in
    assert kit.read(client)["visits"] == 3       what it holds now
    kit.clear(client)                            sign it out

    with kit.session(client) as session:         all that a handler can do
        session.flash("notice", "Saved.")

    with kit.later(3600): ...                    in there, an hour has passed
    with kit.failing(): ...                      in there, the storage's server is down

The client is the one that your test asks with: see `clients`. An asynchronous storage is read and
saved in the client's own event loop: in a plain test that is `with TestClient(app) as client`, in
an asynchronous one `async with kit.session(client) as session`.
"""

from collections.abc import Coroutine
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar, cast

from coatcheck._cookie.cookie import Cookie
from coatcheck._model.schema import Schema
from coatcheck._request.cycle import Cycle, is_async
from coatcheck._request.visit import Visit as Request
from coatcheck._session.session import Session, Value
from coatcheck.errors import ConfigurationError
from coatcheck.storage.protocol import SessionStorage
from coatcheck.testing import faults
from coatcheck.testing.client_cookies import jar_of

T = TypeVar("T")


class SessionKit:
    """
    What a test does with the sessions of an application.

    Args:
        cookie: The application's own, as are the storage, the terms and the *data*.
        url: Where clients without a `base_url` send their requests, if not to http://localhost.

    Raises:
        ConfigurationError: See `coatcheck.session`.
    """

    def __init__(
        self,
        cookie: Cookie,
        storage: SessionStorage,
        *,
        idle: float | None = None,
        lifetime: float | None = None,
        data: type[Any] | Schema[Any] | None = None,
        url: str | None = None,
    ) -> None:
        self._cycle = Cycle(cookie, storage, idle=idle, lifetime=lifetime, data=data)
        self._url = url

    def session(self, client: object) -> "Visit":
        """
        Return a context manager, plain and asynchronous, that yields the client's session.

        What the block does to it is saved at its end, unless it raises; the client then holds the
        cookie that a response would have set.
        """
        return Visit(self._cycle, client, self._url)

    def put(self, client: object, /, **values: Value) -> None:
        """Keep *values* in the client's session, a new one if it has none."""
        with self.session(client) as session:
            session.update(values)

    def read(self, client: object) -> Session:
        """Return the client's session, an empty one if it has none. Changes to it are not kept."""
        return self.session(client).read()

    def clear(self, client: object) -> None:
        """End the client's session, and take its cookie away."""
        with self.session(client) as session:
            session.destroy()

    def later(self, seconds: float) -> AbstractContextManager[None]:
        """Let *seconds* pass for the storage, while the block runs: see `faults.later`."""
        return faults.later(self._cycle.storage, seconds)

    def failing(self, *, reads: bool = True, writes: bool = True) -> AbstractContextManager[None]:
        """Let the storage's server fail, while the block runs: see `faults.failing`."""
        return faults.failing(self._cycle.storage, reads=reads, writes=writes)


class Visit:
    """One look into a client's session, or one change of it: see `SessionKit.session`."""

    def __init__(self, cycle: Cycle, client: object, url: str | None) -> None:
        self._cycle = cycle
        self._client = client
        self._jar = jar_of(client, url)
        self._visit = _Request(cycle, self._jar.header(cycle.cookie))

    def read(self) -> Session:
        """Return the session as it is stored."""
        return self._wait(self._read())

    def __enter__(self) -> Session:
        self._session = self.read()
        return self._session

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if failed is None:
            self._wait(self._save())

    async def __aenter__(self) -> Session:
        self._session = await self._read()
        return self._session

    async def __aexit__(
        self, failed: type[BaseException] | None, _: object, __: TracebackType | None
    ) -> None:
        if failed is None:
            await self._save()

    async def _read(self) -> Session:
        opened = self._visit.opened
        found = self._cycle.storage.read(opened.text if opened else None)
        self._cycle.admit(self._visit, found if isinstance(found, Session) else await found)
        return self._visit.session

    async def _save(self) -> None:
        cycle, session = self._cycle, self._session
        value = cycle.storage.save(session) if cycle.start(session, self._visit) else None
        if not (value is None or isinstance(value, str)):
            value = await value
        if line := cycle.answer(self._visit, value):
            self._jar.take(cycle.cookie, line)

    def _wait(self, step: Coroutine[Any, Any, T]) -> T:
        """Carry one step out: here if nothing of it waits, else in the client's event loop."""
        if not is_async(self._cycle.storage):
            try:
                step.send(None)
            except StopIteration as done:
                return cast("T", done.value)
        for name in ("blocking_portal", "portal"):  # Litestar's, Starlette's
            call = getattr(getattr(self._client, name, None), "call", None)
            if call:
                return cast("T", call(lambda: step))
        step.close()
        raise ConfigurationError(
            "this storage is asynchronous: write `async with kit.session(client)`, or open the "
            "client before, as in `with TestClient(app) as client`"
        )


class _Request(Request):
    """The request that would bring the client's cookie."""

    def __init__(self, cycle: Cycle, header: str | None) -> None:
        self.cookies, self.others = header, ()
        self.opened = cycle.cookie.open(header)

    def attach(self) -> None:
        """Attach the session to nothing: the block gets it."""

"""
Sessions in the tests of an application.

    kit = SessionKit.of(app)                     with the options of the application's sessions
    kit.sign_in(client, "ada")                   sign a client in
    kit.put(client, cart=["coat"])               change its session
    assert kit.read(client)["visits"] == 3       read its session
    kit.clear(client)                            sign it out

    with kit.session(client) as session:         do anything that a handler can do
        session.flash("notice", "Saved.")

    with kit.later(3600): ...                    inside the block it is an hour later
    with kit.failing(): ...                      inside the block the server fails

The client is the test client that sends the requests: see `client_cookies`. An asynchronous storage
is called in the event loop of the client: in a plain test write `with TestClient(app) as client`,
in an asynchronous test `async with kit.session(client) as session`.
"""

from collections.abc import Coroutine, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, cast

from coatcheck._cookie.cookie import Cookie
from coatcheck._request.coroutines import run_now
from coatcheck._request.cycle import Cycle, is_async
from coatcheck._request.options import Options
from coatcheck._request.visit import Visit
from coatcheck._session.session import Session, Value
from coatcheck._session.sign_in import User
from coatcheck.asgi import SessionMiddleware
from coatcheck.errors import ConfigurationError
from coatcheck.storage.protocol import SessionStorage
from coatcheck.testing import faults
from coatcheck.testing.client_cookies import jar_of

T = TypeVar("T")


class SessionKit:
    """
    Reads and changes the sessions of test clients.

    A client is a test client of Starlette, FastAPI, httpx, Litestar, Quart, Flask, aiohttp or
    Django, or a dict of cookies that the test sends itself.

    Args:
        cookie: The cookie of the application.
        storage: The storage of the application.
        url: The URL to which clients without a `base_url` send their requests; None:
            http://localhost.
        options: As the application gives them to `coatcheck.session`.

    Raises:
        ConfigurationError: The cookie is not sealed, or an option is out of its range. The methods
            raise it too: if the cookie is Secure and the client speaks http, if the client has no
            URL, or if the storage is asynchronous and the client has no event loop.
    """

    def __init__(
        self,
        cookie: Cookie,
        storage: SessionStorage,
        *,
        url: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        self._cycle = Cycle(cookie, storage, **options)
        self._url = url

    @classmethod
    def of(cls, sessions: object, *, url: str | None = None) -> Self:
        """
        Return a kit with the cookie, the storage and every option of an application's sessions.

        Args:
            sessions: What `coatcheck.session()` returned, or the application that it made; an
                application of Starlette, FastAPI, Litestar, Flask, Quart, aiohttp or the router;
                a `SessionInterface`, a `SessionPlugin` or a `SessionMiddleware`.
            url: As above.

        Raises:
            ConfigurationError: There are no sessions to be found there.
        """
        kit = cls.__new__(cls)
        kit._cycle, kit._url = _cycle_of(sessions), url
        return kit

    def session(self, client: object) -> "ClientSession":
        """
        Return a context manager, for `with` and `async with`, that yields the client's session.

        The session is saved at the end of the block, unless the block raises. The client then gets
        the cookie that a response would have set.
        """
        return ClientSession(self._cycle, client, self._url)

    def sign_in(
        self,
        client: object,
        user: User,
        /,
        *,
        remember: bool | float | timedelta | None = None,
        pin: str | None = None,
        label: str | None = None,
    ) -> None:
        """
        Sign a user in at a client: `session.sign_in`.

        In an application with a `user_key`, the session gets the user under that key, too.

        Args:
            remember: As in `Session.sign_in`.
            pin: As in `Session.sign_in`.
            label: As in `Session.sign_in`.
        """
        with self.session(client) as session:
            session.sign_in(user, remember=remember, pin=pin, label=label)
            if self._cycle.terms.user_key is not None:
                session[self._cycle.terms.user_key] = user if isinstance(user, int) else str(user)

    def put(self, client: object, /, **values: Value) -> None:
        """Set *values* in the client's session. A client without a session gets one."""
        with self.session(client) as session:
            session.update(values)

    def read(self, client: object) -> Session:
        """Return the client's session, or an empty one. Changes to it are not saved."""
        return self.session(client).read()

    def clear(self, client: object) -> None:
        """Destroy the client's session, and remove its cookie."""
        with self.session(client) as session:
            session.destroy()

    def later(self, seconds: float) -> AbstractContextManager[None]:
        """Return a context manager that moves the clock of the storage on: see `later`."""
        return faults.later(self._cycle.storage, seconds)

    def failing(self, *, reads: bool = True, writes: bool = True) -> AbstractContextManager[None]:
        """Return a context manager that lets the server of the storage fail: see `failing`."""
        return faults.failing(self._cycle.storage, reads=reads, writes=writes)


def _cycle_of(sessions: object) -> Cycle:
    """Return the options of an application's sessions, wherever it keeps them."""
    for place in _places(sessions):
        shell = getattr(place, "_shell", None)
        cycle = getattr(place, "_cycle", getattr(shell, "cycle", None))
        if isinstance(cycle, Cycle):
            return cycle
        if getattr(place, "cls", None) is SessionMiddleware:
            added: Any = place
            return Cycle(*added.args, **added.kwargs)
    raise ConfigurationError(
        f"sessions must be an application with sessions, got {type(sessions).__name__}: write "
        "SessionKit(cookie, storage), with the options that the application gives"
    )


def _places(sessions: object) -> Iterator[object]:
    """Yield where sessions may be: the thing itself, or what an application keeps."""
    yield sessions
    for name in ("session_interface", "wsgi_app", "asgi_app"):  # Flask, Quart; a wrapped one
        yield getattr(sessions, name, None)
    # Starlette, FastAPI and the router; aiohttp; Litestar
    for name in ("user_middleware", "middlewares", "plugins", "middleware"):
        kept = getattr(sessions, name, ())
        for each in kept if isinstance(kept, Iterable) else ():
            yield each
            yield getattr(each, "cls", None)


class ClientSession:
    """One read or one change of a client's session: see `SessionKit.session`."""

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
        """Run one step: at once if the storage is plain, else in the event loop of the client."""
        if not is_async(self._cycle.storage):
            return run_now(step)
        for name in ("blocking_portal", "portal"):  # Litestar's, Starlette's
            call = getattr(getattr(self._client, name, None), "call", None)
            if call:
                return cast("T", call(lambda: step))
        step.close()
        raise ConfigurationError(
            "the storage is asynchronous, and this client has no event loop: write "
            "`async with kit.session(client)`, or open the client before, as in "
            "`with TestClient(app) as client`"
        )


class _Request(Visit):
    """The request that would bring the client's cookie."""

    def __init__(self, cycle: Cycle, header: str | None) -> None:
        self.cookies, self.others = header, ()
        self.opened = cycle.cookie.open(header)

    @property
    def method(self) -> str:
        return "GET"

    def attach(self) -> None:
        """Attach the session to nothing: the block gets it."""

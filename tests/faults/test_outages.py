"""Servers that fail while requests come in: what the client sees, and what is lost."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from coatcheck import BackendError, Session
from coatcheck.storage import KeyedStorage, storage_from_url
from tests.faults.breakable_servers import Place, place_of
from tests.hosts import Browser, Front
from tests.storage_kinds import Made, front_of
from tests.thorough import crossed, thorough

KINDS = ["redis", "valkey", "memcached", "postgresql", "mariadb"]
FRONTS = ["wsgi", "asgi"]
SERVERS = crossed(
    KINDS,
    FRONTS,
    always={"redis-asgi", "valkey-wsgi", "memcached-asgi", "postgresql-asgi", "mariadb-wsgi"},
)
LIKE_REDIS = crossed(["redis", "valkey"], FRONTS, always={"redis-asgi", "valkey-wsgi"})
each_server = pytest.mark.parametrize(("place", "browser"), SERVERS, indirect=True)
like_redis = pytest.mark.parametrize(("place", "browser"), LIKE_REDIS, indirect=True)


@contextmanager
def front_at(url: str, name: str) -> Iterator[Front]:
    """Open a front end over the storage at a URL."""
    storage = storage_from_url(url)
    assert isinstance(storage, KeyedStorage)
    assert storage.aio
    with front_of(name, Made(storage, storage.aio.close)) as front:
        yield front
    storage.close()


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A server of its own for each test."""
    with TemporaryDirectory(prefix="coatcheck-") as folder:
        own = Path(folder) / "s"
        own.mkdir()
        with place_of(request.param, own) as place:
            yield place


@pytest.fixture
def browser(place: Place, request: pytest.FixtureRequest) -> Iterator[Browser]:
    """A browser whose session holds a user."""
    with front_at(place.url, request.param) as front:
        browser = front.browser()
        browser.ask(signs_in)
        browser.ask(writes)
        yield browser


def signs_in(session: Session) -> None:
    session["user"] = 1


def reads(session: Session) -> object:
    return session.get("user")


def writes(session: Session) -> None:
    session.apply("n", lambda n: n + 1, 0)


def settle(browser: Browser) -> None:
    """Send requests until one is answered: at most one finds a connection that died."""
    for _ in range(5):
        try:
            browser.ask(reads)
        except BackendError:
            continue
        return
    pytest.fail("a server that is back was not found again")


@each_server
def test_stopped_and_started(place: Place, browser: Browser) -> None:
    """Requests fail with BackendError while it is gone; then they work, without a restart."""
    place.server.stop()
    for handler in (reads, writes, signs_in):
        with pytest.raises(BackendError) as raised:
            browser.ask(handler)
        assert raised.value.__cause__ is not None
        assert "secret" not in str(raised.value)
    place.server.start()
    settle(browser)
    if place.keeps:
        assert browser.ask(reads).json == 1
    else:  # started empty: the visitor is signed out, and can sign in again
        assert browser.ask(reads).json is None
        browser.ask(signs_in)
        assert browser.ask(reads).json == 1


@each_server
def test_paused(place: Place, browser: Browser) -> None:
    """A server that answers nothing is a BackendError after the timeout, and nothing is lost."""
    place.server.pause()
    with pytest.raises(BackendError):
        browser.ask(reads)
    place.server.resume()
    settle(browser)
    assert browser.ask(reads).json == 1


def test_garbage_instead_of_an_answer() -> None:
    """What speaks another protocol is a BackendError, over every client."""
    with nonsense() as port:
        for url in (
            f"redis://127.0.0.1:{port}?timeout=1",
            f"memcached://127.0.0.1:{port}?timeout=1",
            f"postgresql://user@127.0.0.1:{port}/name?timeout=1",
            f"mysql://user@127.0.0.1:{port}/name?timeout=1",
        ):
            storage = storage_from_url(url)
            assert isinstance(storage, KeyedStorage)
            with pytest.raises(BackendError):
                storage.read("A" * 40)
            aio = storage.aio
            assert aio
            with pytest.raises(BackendError):
                asyncio.run(aio.read("A" * 40))
            storage.close()


@contextmanager
def nonsense() -> Iterator[int]:
    """Answer whatever is said with the same nonsense; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.settimeout(1)
                    try:
                        client.sendall(b"\x2a?HTTP/1.1 418 I'm a teapot\r\n\r\n" * 3)
                        client.recv(1000)
                    except OSError:
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@like_redis
def test_out_of_memory(place: Place, browser: Browser) -> None:
    """Reads go on; a write is a BackendError, and changes nothing."""
    place.tell("CONFIG", "SET", "maxmemory", "1")
    assert browser.ask(reads).json == 1
    with pytest.raises(BackendError) as raised:
        browser.ask(writes)
    assert "OutOfMemory" in type(raised.value.__cause__).__name__ or "OOM" in str(
        raised.value.__cause__
    )
    place.tell("CONFIG", "SET", "maxmemory", "0")
    browser.ask(writes)
    assert browser.ask(lambda session: session["n"]).json == 2


@pytest.mark.parametrize(
    ("place", "browser"),
    [*LIKE_REDIS, ("postgresql", "wsgi"), thorough("postgresql", "asgi")],
    indirect=True,
)
def test_refused_by_its_access_rules(place: Place, browser: Browser) -> None:
    """Reads go on; a write is a BackendError, and works when it is allowed again."""
    redis = place.url.startswith("redis")
    if redis:
        place.tell("ACL", "SETUSER", "default", "-set", "-eval", "-evalsha")
    else:
        place.tell("ALTER DATABASE postgres SET default_transaction_read_only = on")
        place.tell("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle'")
        settle(browser)
    assert browser.ask(reads).json == 1
    with pytest.raises(BackendError):
        browser.ask(writes)
    if redis:
        place.tell("ACL", "SETUSER", "default", "+@all")
        browser.ask(writes)
        assert browser.ask(lambda session: session["n"]).json == 2


@like_redis
def test_a_record_that_is_garbage_counts_as_absent(
    place: Place, browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    """The visitor is signed out, with a line in the log, and can sign in again."""
    keys: Any = place.tell("KEYS", "*")
    place.tell("SET", keys[0], b"\xff" * 40)
    assert browser.ask(reads).json is None
    assert "counts as absent" in caplog.text
    browser.header = None
    browser.ask(signs_in)
    assert browser.ask(reads).json == 1

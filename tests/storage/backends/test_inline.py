"""Backends in files of this machine, under an event loop: in place, or in a thread when busy."""

import asyncio
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from coatcheck.errors import BackendError
from coatcheck.storage import FileStorage, KeyedStorage, SqliteStorage
from coatcheck.storage.keyed import AsyncKeyedStorage
from coatcheck.testing.backend_contract import HOUR, new_key

Make = Callable[[float], KeyedStorage]
Hold = Callable[[str], AbstractContextManager[None]]


@contextmanager
def sqlite_lock(path: Path) -> Iterator[None]:
    """Write to a database, and take one's time."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock of one folder."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(lock)


@pytest.fixture(params=["sqlite", "file"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Make, Hold]]:
    """What makes a storage with a timeout, and what holds the lock that a key's writer needs."""
    opened: list[KeyedStorage] = []

    def make(timeout: float) -> KeyedStorage:
        if request.param == "sqlite":
            opened.append(SqliteStorage(tmp_path / "db", timeout=timeout))
        else:
            opened.append(FileStorage(tmp_path / "files", timeout=timeout))
        return opened[-1]

    def hold(key: str) -> AbstractContextManager[None]:
        if request.param == "sqlite":
            return sqlite_lock(tmp_path / "db")
        return file_lock(tmp_path / "files" / "locks" / key[:2])

    yield make, hold
    for storage in opened:
        storage.close()


def asynchronous(storage: KeyedStorage) -> AsyncKeyedStorage:
    assert storage.aio
    return storage.aio


def test_calls_are_made_in_place_while_nobody_waits(
    made: tuple[Make, Hold], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole session needs no thread beside the event loop's."""
    make, _ = made
    storage = asynchronous(make(5))

    async def no_thread(*_: object) -> None:
        raise AssertionError("a call went to a thread")

    monkeypatch.setattr(asyncio, "to_thread", no_thread)

    async def scenario() -> None:
        session = await storage.read(None)
        session["user"] = 1
        value = await storage.save(session)
        session = await storage.read(value)
        session["user"] = 2
        await storage.save(session)
        session = await storage.read(value)
        assert session["user"] == 2
        session.destroy()
        await storage.save(session)
        await storage.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("doing", ["claim", "replace", "delete"])
def test_a_lock_that_is_held_does_not_stop_the_loop(made: tuple[Make, Hold], doing: str) -> None:
    """The call waits in a thread, other tasks run on, and it ends well when the lock is free."""
    make, hold = made
    backend = asynchronous(make(30)).backend
    key = new_key()

    async def scenario() -> None:
        if doing != "claim":
            await backend.swap(key, None, b"one", HOUR)
        with hold(key):
            match doing:
                case "claim":
                    call = asyncio.create_task(backend.swap(key, None, b"one", HOUR))
                case "replace":
                    call = asyncio.create_task(backend.swap(key, b"one", b"two", HOUR))
                case _:
                    call = asyncio.create_task(backend.delete(key))
            for _ in range(20):  # the loop runs on
                await asyncio.sleep(0.001)
            assert not call.done()
            await backend.get(key)  # and readers wait for nobody
        assert await call is None

    asyncio.run(scenario())


def test_a_lock_that_stays_held_is_a_backend_error(made: tuple[Make, Hold]) -> None:
    """After the timeout, and not before: the change may be tried again."""
    make, hold = made
    storage = make(0.05)
    key = new_key()
    with hold(key), pytest.raises(BackendError, match="a session record"):
        storage.backend.swap(key, None, b"one", HOUR)
    assert storage.backend.swap(key, None, b"one", HOUR) is None

    async def scenario() -> None:
        with hold(key), pytest.raises(BackendError):
            await asynchronous(storage).backend.delete(key)

    asyncio.run(scenario())


def test_a_sweep_runs_in_a_thread(made: tuple[Make, Hold]) -> None:
    """However long it takes, the loop runs on."""
    make, _ = made
    storage = asynchronous(make(5))
    threads: list[int] = []
    sweep = storage.backend._patient.sweep  # type: ignore[attr-defined]

    def watched(limit: int) -> int:
        threads.append(threading.get_ident())
        return int(sweep(limit))

    storage.backend._patient.sweep = watched  # type: ignore[attr-defined]
    assert asyncio.run(storage.sweep(10)) == 0
    assert threads
    assert threads[0] != threading.get_ident()

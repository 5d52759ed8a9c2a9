"""The asynchronous shell while a storage waits: threads, tasks and cancelled requests."""

import asyncio
import threading

import anyio
import pytest

from coatcheck import Session, session
from coatcheck._session.ids import key_of
from coatcheck.storage import AsyncKeyedStorage, KeyedStorage, Refused, Stored
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.storage.clock import system_clock
from tests.applications import (
    Awaited,
    Stopped,
    answers,
    fill,
    is_known,
    look,
    move,
    run,
    sets,
    stopped,
    touches,
)
from tests.hosts import COOKIE, asgi_app, ask_asgi, scope_of


class Watched:
    """A plain backend that notes the threads in which it is called."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self._memory = MemoryBackend(max_records=10, clock=system_clock)

    def get(self, key: str) -> Stored | None:
        self.threads.append(threading.get_ident())
        return self._memory.get(key)

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        self.threads.append(threading.get_ident())
        return self._memory.swap(key, version, record, ttl)

    def delete(self, key: str) -> None:
        self.threads.append(threading.get_ident())
        self._memory.delete(key)


@pytest.mark.parametrize("waits", [True, False])
def test_a_blocking_storage_runs_in_a_worker_thread(*, waits: bool) -> None:
    """And one that never waits runs in place: a thread would cost more than the call."""
    backend = Watched()
    storage = KeyedStorage(backend, waits=waits)
    header = fill(storage, user=1)
    backend.threads.clear()
    run(answers(sets(user=2), sets(late=3)), scope_of(header), storage)
    assert len(backend.threads) == 4  # a read, a write, and to save late one more of each
    assert [thread != threading.get_ident() for thread in backend.threads] == [waits] * 4
    assert dict(look(storage, header)) == {"user": 2, "late": 3}


def test_a_session_stays_in_the_thread_of_its_request() -> None:
    """Only the backend's calls leave it: a task beside the response may change what is saved."""
    storage = KeyedStorage(Watched())
    header = fill(storage, n=0)
    threads: list[int] = []

    def count(n: int) -> int:
        threads.append(threading.get_ident())
        return n + 1

    def work(session: Session) -> None:
        session.apply("n", count)
        overtaking = look(storage, header)
        overtaking["other"] = 1
        storage.save(overtaking)

    run(answers(work), scope_of(header), storage)
    assert dict(look(storage, header)) == {"n": 1, "other": 1}
    assert threads == [threading.get_ident()] * 2


def test_a_blocking_storage_of_ones_own_runs_in_a_worker_thread() -> None:
    """Whole, because nothing is known of what it calls."""
    threads: list[int] = []

    class Storage:
        def read(self, _: str | None) -> Session:
            threads.append(threading.get_ident())
            return Session({"user": 1}, id="id")

        def save(self, session: Session) -> str | None:
            threads.append(threading.get_ident())
            return session.id

    sent = run(answers(sets(user=2)), scope_of(COOKIE.serialize("id").partition(";")[0]), Storage())
    assert len(sent.answer.all("set-cookie")) == 1
    assert len(threads) == 2
    assert threading.get_ident() not in threads


def test_a_visitor_without_a_cookie_costs_no_thread() -> None:
    """Nothing is to be read, so nothing is handed to a worker."""
    threads: list[int] = []

    class Storage:
        def read(self, _: str | None) -> Session:
            threads.append(threading.get_ident())
            return Session()

        def save(self, _: Session) -> str | None:
            raise AssertionError

    run(answers(touches), scope_of(), Storage())
    assert threads == [threading.get_ident()]


def test_a_cancelled_request_does_not_cut_its_save_in_half() -> None:
    """Cancelled between claim and marker: the move is carried out, then the request ends."""

    async def scene() -> None:
        request = stopped()
        task = asyncio.create_task(request.ask(move))
        await request.backend.reached.wait()
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()  # it waits for its save
        request.backend.released.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert request.moved

    asyncio.run(scene())


def test_a_request_that_is_cancelled_twice_does_not_wait() -> None:
    """The request ends, and its save goes on without it."""

    async def scene() -> None:
        request = stopped()
        task = asyncio.create_task(request.ask(move))
        await request.backend.reached.wait()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not request.moved
        await request.saved()
        assert request.moved

    asyncio.run(scene())


def test_a_cancel_scope_does_not_cut_a_save_in_half() -> None:
    """anyio cancels again and again until a task is gone."""

    async def scene() -> None:
        request = stopped()
        async with anyio.create_task_group() as group:
            group.start_soon(request.ask, move)
            await request.backend.reached.wait()
            group.cancel_scope.cancel()
        assert not request.moved
        await request.saved()
        assert request.moved

    asyncio.run(scene())


def test_a_save_that_fails_after_its_request_was_cancelled_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody else would hear of it."""

    async def scene() -> None:
        request = stopped()
        task = asyncio.create_task(request.ask(move))
        await request.backend.reached.wait()
        task.cancel()
        await asyncio.sleep(0)
        request.backend.fails = True
        request.backend.released.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scene())
    assert "saving a session failed after its request was cancelled" in caplog.text


def test_a_cancelled_request_does_not_cut_a_save_in_a_thread_in_half() -> None:
    """The same for a storage that blocks."""
    reached, released = threading.Event(), threading.Event()

    class Blocking(Watched):
        def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
            if version is not None:
                reached.set()
                assert released.wait(10)
            return super().swap(key, version, record, ttl)

    storage = KeyedStorage(Blocking())
    header = fill(storage, user=1)
    middleware = session(COOKIE, storage)(asgi_app)

    async def scene() -> None:
        task = asyncio.create_task(ask_asgi(middleware, move, header))
        await asyncio.to_thread(reached.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        released.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert storage.backend.get(key_of(COOKIE.parse(header) or "")) is not None
        assert look(storage, header).is_new

    asyncio.run(scene())


def test_changes_made_while_the_save_is_written_are_not_lost() -> None:
    """A task beside the response works on the session; a second save takes what it did."""

    async def scene() -> None:
        backend = Awaited()
        backend.stops_at = is_known
        request = Stopped(backend)
        found: list[Session] = []

        def handler(session: Session) -> None:
            found.append(session)
            session["user"] = 2

        task = asyncio.create_task(request.ask(handler))
        await backend.reached.wait()
        found[0]["beside"] = 3
        backend.released.set()
        await task
        assert dict(look(request.storage, request.header)) == {"user": 2, "beside": 3}

    asyncio.run(scene())


def test_a_new_session_changed_while_it_is_first_saved_loses_nothing() -> None:
    """The id is on its way to the client, so what came meanwhile is saved under it."""

    async def scene() -> None:
        backend = Awaited()
        backend.stops_at = lambda version: version is None
        storage = AsyncKeyedStorage(backend)
        app = session(COOKIE, storage)(asgi_app)
        found: list[Session] = []

        def handler(session: Session) -> None:
            found.append(session)
            session["user"] = 1

        task = asyncio.create_task(ask_asgi(app, handler))
        await backend.reached.wait()
        found[0]["beside"] = 2
        backend.released.set()
        header = (await task).all("set-cookie")[0].partition(";")[0]
        assert dict(look(KeyedStorage(backend.memory), header)) == {"user": 1, "beside": 2}

    asyncio.run(scene())


def test_a_storage_of_two_forms_is_awaited(memory: KeyedStorage) -> None:
    """`aio` is the form that ASGI applications use."""
    backend = Awaited()
    storage = KeyedStorage(memory.backend, aio=AsyncKeyedStorage(backend))
    run(answers(sets(user=1)), scope_of(), storage)
    assert len(backend.memory) == 1

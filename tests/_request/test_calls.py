"""How a host calls its storage: in place, in a thread, or awaited."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from coatcheck import ConfigurationError, Session
from coatcheck._request import async_calls, calls
from coatcheck._request.async_calls import AsyncCalls
from coatcheck._request.calls import Calls
from coatcheck.storage import (
    AsyncKeyedStorage,
    CookieStorage,
    KeyedStorage,
    MemoryStorage,
    SessionStorage,
)
from coatcheck.storage.backends.inline import InlineBackend
from coatcheck.storage.lasting import Lasting
from coatcheck.storage.protocol import Powers


class Plain:
    """A plain storage that notes the threads in which it is called."""

    powers = Powers()

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.closed = 0

    def read(self, value: str | None) -> Session:
        self.threads.append(threading.get_ident())
        return Session({"value": value}, id=value) if value else Session()

    def save(self, session: Session) -> str | None:
        self.threads.append(threading.get_ident())
        return session.issued_id

    def close(self) -> None:
        self.closed += 1


class Awaited:
    """A storage whose methods are awaited."""

    def __init__(self) -> None:
        self.closed = 0

    async def read(self, value: str | None) -> Session:
        await asyncio.sleep(0)
        return Session({"value": value}, id=value)

    async def save(self, session: Session) -> str | None:
        await asyncio.sleep(0)
        return session.issued_id

    async def close(self) -> None:
        self.closed += 1


class Both(Plain):
    """A plain storage with an awaited form."""

    def __init__(self) -> None:
        super().__init__()
        self.aio = Awaited()


def inline() -> AsyncKeyedStorage:
    memory = MemoryStorage()
    return AsyncKeyedStorage(InlineBackend(memory.backend, memory.backend), seldom_waits=True)


async def trip(storage: SessionStorage) -> tuple[Session, str | None]:
    """Read and save through the calls of an event loop."""
    called = AsyncCalls(storage)
    session: Session = await async_calls.done(called.read("value"))
    return session, await async_calls.done(called.save(session))


# Without an event loop


def test_a_plain_storage_is_called_in_place() -> None:
    """What it returns is what comes back."""
    called = Calls(storage := Plain())
    session = calls.done(called.read("value"))
    assert session["value"] == "value"
    assert calls.done(called.save(session)) == "value"
    assert set(storage.threads) == {threading.get_ident()}


@pytest.mark.parametrize("storage", [Awaited(), inline()], ids=["one's own", "keyed"])
def test_an_awaited_storage_needs_an_event_loop(storage: SessionStorage) -> None:
    """It is refused when the application is made, with what to do."""
    with pytest.raises(ConfigurationError, match="plain methods under WSGI, got"):
        Calls(storage)


def test_what_a_storage_opened_is_closed() -> None:
    """If it has anything to close."""
    storage = Plain()
    Calls(storage).close()
    assert storage.closed == 1
    Calls(CookieStorage()).close()


# In an event loop


@pytest.mark.parametrize("make", [Plain, Awaited, Both, CookieStorage, MemoryStorage, inline])
def test_every_kind_of_storage_is_called(make: Callable[[], Any]) -> None:
    """Plain, awaited, or both: the caller awaits what is to be awaited."""
    session, value = asyncio.run(trip(make()))
    assert isinstance(session, Session)
    assert value == session.issued_id


def test_a_storage_that_waits_is_called_in_a_thread() -> None:
    """The loop serves other requests meanwhile; without a cookie nothing is waited for."""
    storage = Plain()
    asyncio.run(trip(storage))
    assert threading.get_ident() not in storage.threads
    assert isinstance(AsyncCalls(storage).read(None), Session)


def test_a_storage_that_never_waits_is_called_in_place() -> None:
    """A thread would cost more than the call."""

    class Quick(Plain):
        powers = Powers(waits=False)

    storage = Quick()
    asyncio.run(trip(storage))
    assert set(storage.threads) == {threading.get_ident()}


def test_the_awaited_form_is_used() -> None:
    """No thread where a storage has one; a form of None is none."""

    class Without(Plain):
        aio = None

    both, without = Both(), Without()
    asyncio.run(trip(both))
    asyncio.run(trip(without))
    assert both.threads == []
    assert len(without.threads) == 2


def test_a_save_that_ends_at_once_needs_no_task() -> None:
    """What seldom waits is begun in the task that asks."""

    async def scene() -> None:
        called = AsyncCalls(inline())
        session = Session()
        session["user"] = 1
        assert isinstance(called.save(session), str)
        assert called.save(Session()) is None

    asyncio.run(scene())


def test_a_save_that_has_begun_goes_on_to_its_end() -> None:
    """Its request is cancelled, because the client hung up: half a save is none."""

    class Slow(Awaited):
        def __init__(self) -> None:
            super().__init__()
            self.may_end, self.saved = asyncio.Event(), False

        async def save(self, session: Session) -> str | None:
            await self.may_end.wait()
            self.saved = True
            return session.issued_id

    async def scene() -> None:
        storage = Slow()
        save = asyncio.ensure_future(async_calls.done(AsyncCalls(storage).save(Session())))
        await asyncio.sleep(0)
        save.cancel()
        await asyncio.sleep(0)
        storage.may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await save
        assert storage.saved

    asyncio.run(scene())


def test_both_forms_of_a_storage_are_closed() -> None:
    """Each once; one that has nothing to close is left alone."""

    async def scene() -> None:
        both, plain = Both(), Plain()
        for storage in (both, plain, CookieStorage(), KeyedStorage(MemoryStorage().backend)):
            await AsyncCalls(storage).close()
        assert (both.closed, both.aio.closed, plain.closed) == (1, 1, 1)

    asyncio.run(scene())


def test_what_a_thread_returned_to_be_awaited_is_awaited() -> None:
    """A plain method may return a coroutine of its own."""

    async def inner() -> int:
        return 7

    async def outer() -> Any:
        return inner()

    assert asyncio.run(async_calls.done(outer())) == 7


def test_a_save_that_waits_for_a_lasting_future_is_awaited() -> None:
    """It begins in the task of its request, and its result comes later."""

    async def scene() -> None:
        answer: Lasting[str] = Lasting()

        class Late(Awaited):
            powers = Powers(seldom_waits=True)

            async def save(self, session: Session) -> str | None:
                return session.issued_id or await answer

        asyncio.get_running_loop().call_soon(answer.set_result, "value")
        assert await async_calls.done(AsyncCalls(Late()).save(Session())) == "value"

    asyncio.run(scene())

"""The backends that a storage takes, and what it passes on to them."""

import asyncio

import pytest

from coatcheck import ConfigurationError
from coatcheck.storage import AsyncKeyedStorage, KeyedStorage
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.storage.backends.threaded import ThreadedBackend
from coatcheck.testing import Clock
from tests.storage.keyed.stores import Awaited, Store, Watched


class Sweeping(Watched):
    """A backend that has something to remove and to release."""

    def sweep(self, limit: int) -> int:
        self.calls.append("sweep")
        return limit - 1

    def close(self) -> None:
        self.calls.append("close")


def test_sweeping_and_closing_are_the_backends(clock: Clock) -> None:
    """The storage passes them on, also to a backend in worker threads."""
    backend = Sweeping(clock)
    storage = KeyedStorage(backend, clock=clock)
    threaded = AsyncKeyedStorage(ThreadedBackend(backend), clock=clock)
    assert storage.sweep(limit=5) == 4
    assert asyncio.run(threaded.sweep(limit=5)) == 4
    storage.close()
    asyncio.run(threaded.close())
    assert backend.calls == ["sweep", "sweep", "close", "close"]


def test_a_backend_may_have_nothing_to_sweep_or_to_close(store: Store) -> None:
    """Then both do nothing."""
    threaded = AsyncKeyedStorage(ThreadedBackend(store.backend))
    assert store.plain.sweep() == 0
    store.plain.close()
    for storage in (store.other, threaded):
        assert asyncio.run(storage.sweep()) == 0
        asyncio.run(storage.close())
    assert store.backend.calls == []


class Minimal:
    """A backend of three methods, and nothing else."""

    def __init__(self, backend: MemoryBackend) -> None:
        self.get, self.swap, self.delete = backend.get, backend.swap, backend.delete


def test_three_methods_are_a_backend(clock: Clock) -> None:
    """One that says nothing of itself is taken to wait, and called in threads under ASGI."""
    storage = KeyedStorage(Minimal(MemoryBackend(max_records=9, clock=clock)), clock=clock)
    session = storage.read(None)
    session["a"] = 1
    value = storage.save(session)
    assert storage.powers.waits
    assert storage.aio
    assert asyncio.run(storage.aio.read(value))["a"] == 1


def test_an_asynchronous_backend_in_the_plain_storage_is_refused(store: Store) -> None:
    """Its calls would return coroutines; the message names the storage for it."""
    with pytest.raises(ConfigurationError, match="AsyncKeyedStorage"):
        KeyedStorage(Awaited(store.backend))  # type: ignore[arg-type]

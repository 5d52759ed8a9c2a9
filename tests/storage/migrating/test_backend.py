"""A storage made of two, while sessions move from one to the other."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from coatcheck import ConfigurationError, Session
from coatcheck._session.ids import key_of
from coatcheck._session.record import LIMIT
from coatcheck.storage import (
    AsyncKeyedStorage,
    CookieStorage,
    FileStorage,
    KeyedStorage,
    MemoryStorage,
    Migrating,
    Refused,
    SqliteStorage,
    Stored,
)
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.storage.backends.threaded import ThreadedBackend
from coatcheck.storage.clock import system_clock
from coatcheck.storage.migrating.async_backend import AsyncMigratingBackend
from coatcheck.storage.migrating.backend import MigratingBackend
from coatcheck.storage.migrating.record_moves import MOVING, PENDING
from coatcheck.testing import BackendContract, StorageContract
from coatcheck.testing.backend_contract import HOUR, Make, new_key


def memory() -> MemoryBackend:
    return MemoryBackend(max_records=1000, clock=system_clock)


class Old:
    """A backend whose records are first put into another one, which then moves them."""

    def __init__(self, old: MemoryBackend, new: MemoryBackend) -> None:
        self.old = old
        self.both = MigratingBackend(old, new, ("old:", ""))

    def get(self, key: str) -> Stored | None:
        return self.both.get(key)

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        if version is None and self.both.get(key) is None:
            return self.old.swap(f"old:{key}", None, record, ttl)
        return self.both.swap(key, version, record, ttl)

    def delete(self, key: str) -> None:
        self.both.delete(key)


class TestMigratingBackend(BackendContract):
    """Every rule of a backend."""

    @pytest.fixture
    def make(self) -> Make:
        return lambda: MigratingBackend(memory(), memory())


class TestBackendWhoseRecordsMove(BackendContract):
    """Every rule holds for records that lie in the old one and move in the middle of it."""

    @pytest.fixture
    def make(self) -> Make:
        return lambda: Old(memory(), memory())


class TestAsyncMigratingBackend(BackendContract):
    """Every rule of a backend, awaited."""

    @pytest.fixture
    def make(self) -> Make:
        return lambda: AsyncMigratingBackend(ThreadedBackend(memory()), ThreadedBackend(memory()))


class TestMigrating(StorageContract):
    """Every rule of a storage, from files to SQLite."""

    @pytest.fixture
    def make(self, tmp_path: Path) -> Iterator[Make]:
        storage = Migrating(FileStorage(tmp_path / "files"), SqliteStorage(tmp_path / "db"))
        yield lambda: storage
        storage.close()


class TestAsyncMigrating(StorageContract):
    """The same, awaited, in place."""

    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        @asynccontextmanager
        async def storage() -> AsyncIterator[Any]:
            both = Migrating(FileStorage(tmp_path / "files"), SqliteStorage(tmp_path / "db"))
            yield both.aio
            assert both.aio
            await both.aio.close()
            both.close()

        return storage


def started(storage: KeyedStorage, **values: object) -> str:
    session = storage.read(None)
    session.update(values)
    value = storage.save(session)
    assert value
    return value


def test_nobody_is_signed_out() -> None:
    """A session of the old storage is read, and moves with its first write, under its own id."""
    old, new = MemoryStorage(), MemoryStorage()
    value = started(old, user=1)
    both = Migrating(old, new)
    session = both.read(value)
    assert session["user"] == 1
    assert both.save(session) is None
    assert new.read(value).is_new
    session = both.read(value)
    session["cart"] = [1]
    assert both.save(session) is None
    assert dict(new.read(value)) == {"user": 1, "cart": [1]}
    assert old.read(value).is_new
    assert dict(both.read(value)) == {"user": 1, "cart": [1]}


def test_a_destroyed_session_is_destroyed_in_both() -> None:
    """Wherever it lies."""
    old, new = MemoryStorage(), MemoryStorage()
    for storage in (old, new):
        value = started(storage, user=1)
        both = Migrating(old, new)
        session = both.read(value)
        session.destroy()
        assert both.save(session) == ""
        assert old.read(value).is_new
        assert new.read(value).is_new
        assert both.read(value).is_new


def test_a_session_of_the_largest_size_moves(tmp_path: Path) -> None:
    """The marks need a little room of their own."""
    old, new = FileStorage(tmp_path), MemoryStorage()
    value = started(old, filler="x" * (LIMIT - 200))
    both = Migrating(old, new)
    session = both.read(value)
    session["more"] = 1
    both.save(session)
    assert new.read(value)["more"] == 1


def test_each_storage_keeps_its_prefix() -> None:
    """They may even share a backend."""
    backend = memory()
    old, new = KeyedStorage(backend, prefix="old:"), KeyedStorage(backend, prefix="new:")
    value = started(old, user=1)
    session = Migrating(old, new).read(value)
    session["seen"] = True
    Migrating(old, new).save(session)
    assert backend.get(key_of(value, "old:")) is None
    assert new.read(value)["seen"]


class Hooked(MemoryBackend):
    """A backend that calls a hook before one of its calls."""

    def __init__(self) -> None:
        super().__init__(max_records=1000, clock=system_clock)
        self.calls = 0
        self.at: dict[int, Callable[[], object]] = {}

    def _called(self) -> None:
        self.calls += 1
        if hook := self.at.pop(self.calls, None):
            hook()

    def get(self, key: str) -> Stored | None:
        self._called()
        return super().get(key)

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        self._called()
        return super().swap(key, version, record, ttl)

    def delete(self, key: str) -> None:
        self._called()
        super().delete(key)


@pytest.mark.parametrize("which", ["old", "new"])
@pytest.mark.parametrize("call", range(1, 6))
@pytest.mark.parametrize("rival", ["destroys", "writes", "crashes", "reads"])
def test_a_move_can_be_overtaken_and_interrupted_anywhere(
    which: str, call: int, rival: str
) -> None:
    """What is destroyed stays gone, what is written stays, whichever call another comes before."""
    old, new = Hooked(), Hooked()
    storages = KeyedStorage(old), KeyedStorage(new)
    value = started(storages[0], user=1)
    slow, fast = Migrating(*storages), Migrating(*storages)
    session = slow.read(value)
    session.apply("n", lambda n: n + 1, 0)

    def overtake() -> None:
        old.at, new.at = {}, {}
        if rival == "crashes":
            raise KeyboardInterrupt
        other = fast.read(value)
        if rival == "destroys":
            other.destroy()
        elif rival == "writes":
            other.apply("n", lambda n: n + 1, 0)
        assert other["user"] == 1 if rival == "reads" else True
        fast.save(other)

    backend = old if which == "old" else new
    backend.calls = 0
    backend.at = {call: overtake}
    try:
        slow.save(session)
        crashed = False
    except KeyboardInterrupt:
        crashed = True
    happened = not backend.at
    backend.at = {}
    found = fast.read(value)
    if rival == "destroys" and happened:
        assert found.is_new
    elif rival == "writes" and happened:
        assert dict(found) == {"user": 1, "n": 2}
    elif crashed:
        assert found["user"] == 1
        assert found.get("n") in (None, 1)
        found["after"] = True
        fast.save(found)
        assert fast.read(value)["after"] is True
    else:
        assert dict(found) == {"user": 1, "n": 1}


def test_marks_are_no_sessions() -> None:
    """A pending mark without a session in the old storage is nothing."""
    old, new, key = memory(), memory(), new_key()
    backend = MigratingBackend(old, new)
    new.swap(key, None, PENDING, HOUR)
    assert backend.get(key) is None
    old.swap(key, None, MOVING + b"record", HOUR)
    found = backend.get(key)
    assert found and found.record == b"record"
    refused = backend.swap(key, found.version, b"next", HOUR)  # the move is finished first
    assert refused and refused.stored and refused.stored.record == b"record"
    assert backend.swap(key, refused.stored.version, b"next", HOUR) is None
    assert backend.get(key) == Stored(b"next", version=(b"next",))
    assert old.get(key) is None


def test_plain_and_asynchronous_go_together() -> None:
    """If one of them is awaited, so is the storage made of them."""

    async def scenario() -> None:
        waiting = AsyncKeyedStorage(ThreadedBackend(memory()))
        plain = MemoryStorage()
        value = started(plain, user=1)
        both = Migrating(plain, waiting)
        session = await both.read(value)  # type: ignore[misc]
        session["seen"] = True
        await both.save(session)  # type: ignore[misc]
        assert (await waiting.read(value))["seen"]
        assert await both.sweep() == 0  # type: ignore[misc]
        await both.close()  # type: ignore[misc]

    asyncio.run(scenario())
    assert Migrating(MemoryStorage(), MemoryStorage()).sweep() == 0


def test_a_new_storage_that_never_waits_encrypts_in_its_awaited_form_too() -> None:
    """Either form reads what the other one kept."""

    async def scenario() -> None:
        new = MemoryStorage(encrypt=True)
        both = Migrating(MemoryStorage(), new)
        assert both.aio
        session = await both.aio.read(None)
        session["word"] = "a text in clear"
        value = await both.aio.save(session)
        assert value
        stored = new.backend.get(key_of(value))
        assert stored and b"a text in clear" not in stored.record
        assert both.read(value)["word"] == new.read(value)["word"] == "a text in clear"

    asyncio.run(scenario())


class Own:
    """A storage of two methods, as an application may bring."""

    def read(self, _: str | None) -> Session:
        return Session()

    def save(self, _: Session) -> None:
        return None


def test_what_cannot_be_moved_is_refused() -> None:
    """A storage of two methods shows no records; from cookies to cookies there is no way."""
    with pytest.raises(ConfigurationError, match="Own: it shows no records"):
        Migrating(Own(), MemoryStorage())  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match="Own: it shows no records"):
        Migrating(CookieStorage(), Own())  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match="from CookieStorage to itself"):
        Migrating(CookieStorage(), CookieStorage())  # type: ignore[call-overload]

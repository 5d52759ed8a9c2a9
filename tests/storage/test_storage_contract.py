"""The published contract of a storage, over every storage there is."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from coatcheck import Session
from coatcheck.testing import Clock, StorageContract
from coatcheck.testing.plain_or_awaited import Make
from tests.storage_kinds import storage_of

SERVER_SIDE = [
    "memory",
    "file",
    "file-asyncio",
    "sqlite",
    "sqlite-asyncio",
    "redis",
    "redis-asyncio",
    "valkey",
    "memcached",
    "memcached-asyncio",
    "postgresql",
    "postgresql-asyncio",
    "postgresql-url",
    "postgresql-url-asyncio",
    "mariadb",
    "mariadb-asyncio",
    "mariadb-url-asyncio",
]


@pytest.fixture
def make(kind: str, request: pytest.FixtureRequest, clock: Clock) -> Iterator[Make]:
    with storage_of(kind.replace("url-asyncio", "url"), request, clock) as made:

        @asynccontextmanager
        async def storage() -> AsyncIterator[Any]:
            asynchronous = getattr(made.storage, "aio", None) if kind.endswith("asyncio") else None
            yield asynchronous or made.storage
            if made.close:
                await made.close()

        yield storage


@pytest.mark.parametrize("kind", SERVER_SIDE)
class TestServerSideStorages(StorageContract):
    """Each keeps every promise."""


@pytest.mark.parametrize("kind", ["cookie"])
class TestCookieStorage(StorageContract):
    """There is no server to ask."""

    keeps_every_update = False
    revocable = False


class DictStorage:
    """A storage of one's own: sessions as plain dicts, in a dict."""

    def __init__(self) -> None:
        self.sessions: dict[str, dict[str, Any]] = {}

    def read(self, value: str | None) -> Session:
        data = self.sessions.get(value or "")
        return Session() if data is None else Session(data, id=value)

    def save(self, session: Session) -> str | None:
        if session.destroyed or session.issued_id != session.id:
            self.sessions.pop(session.issued_id or "", None)
        if session.destroyed:
            return ""
        if not session.modified:
            return None
        self.sessions[session.id] = dict(session)
        return session.id


class TestStorageOfOnesOwn(StorageContract):
    """Twenty lines, and what they leave out."""

    keeps_flashes = False
    keeps_every_update = False

    @pytest.fixture
    def make(self) -> Make:
        return DictStorage


class AsyncDictStorage(DictStorage):
    """The same, awaited."""

    async def read(self, value: str | None) -> Session:  # type: ignore[override]
        return super().read(value)

    async def save(self, session: Session) -> str | None:  # type: ignore[override]
        return super().save(session)


class TestAsyncStorageOfOnesOwn(TestStorageOfOnesOwn):
    """Either method may be `async def`."""

    @pytest.fixture
    def make(self) -> Make:
        return AsyncDictStorage

"""A storage over a backend that runs a hook before each call, where another request is faster."""

import asyncio
from collections.abc import Callable
from typing import Any

from coatcheck import Session
from coatcheck._session.draft import Visitor
from coatcheck._session.lifecycle import admit
from coatcheck._session.record import Record, Terms, unpack
from coatcheck.storage import AsyncKeyedStorage, KeyedStorage, Refused, Stored
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.testing import Clock

DAY = 24 * 3600.0

Hook = Callable[[str, str], None]


class Watched:
    """A backend that notes its calls, and runs a hook before each."""

    def __init__(self, clock: Clock) -> None:
        self.backend = MemoryBackend(max_records=100, clock=clock)
        self.calls: list[str] = []
        self.keys: set[str] = set()
        self.before: Hook | None = None

    def _note(self, call: str, key: str) -> None:
        self.calls.append(call)
        self.keys.add(key)
        hook, self.before = self.before, None
        if hook:
            hook(call, key)
            self.before = self.before or (hook if getattr(hook, "always", False) else None)

    def get(self, key: str) -> Stored | None:
        self._note("get", key)
        return self.backend.get(key)

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        self._note("claim" if version is None else "swap", key)
        return self.backend.swap(key, version, record, ttl)

    def delete(self, key: str) -> None:
        self._note("delete", key)
        self.backend.delete(key)

    @property
    def sessions(self) -> int:
        """How many sessions it holds; tombstones and markers are none."""
        found = {key: self.backend.get(key) for key in self.keys}
        kept = [unpack(each.record, bytes.fromhex(key[:16])) for key, each in found.items() if each]
        return sum(isinstance(each, Record) for each in kept)


class Awaited:
    """The same, asynchronous."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched

    async def get(self, key: str) -> Stored | None:
        return self.watched.get(key)

    async def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        return self.watched.swap(key, version, record, ttl)

    async def delete(self, key: str) -> None:
        self.watched.delete(key)


class Store:
    """A storage of either form, called as if it were plain."""

    def __init__(self, form: str, clock: Clock) -> None:
        self.backend = Watched(clock)
        self.plain = KeyedStorage(self.backend, clock=clock)
        self.other = AsyncKeyedStorage(Awaited(self.backend), clock=clock)
        self.form = form

    def read(self, value: str | None, terms: Terms | None = None) -> Session:
        if self.form == "plain":
            session = self.plain.read(value)
        else:
            session = asyncio.run(self.other.read(value))
        return admit(session, terms, visitor=Visitor(terms=terms)) if terms else session

    def save(self, session: Session) -> str | None:
        if self.form == "plain":
            return self.plain.save(session)
        return asyncio.run(self.other.save(session))

    def kept(self, **values: Any) -> str:
        """Keep a new session, and return its value."""
        session = self.plain.read(None)
        session.update(values)
        value = self.plain.save(session)
        assert value
        self.backend.calls.clear()
        return value

    def look(self, value: str | None) -> dict[str, Any]:
        """Return what is stored, without a trace."""
        calls = list(self.backend.calls)
        found = dict(self.plain.read(value))
        self.backend.calls[:] = calls
        return found

    def meanwhile(self, act: Callable[[], object], *, before: str = "swap") -> None:
        """Let another request do something just before the next call of that kind."""

        def hook(call: str, _: str) -> None:
            if call == before:
                act()
            else:
                self.backend.before = hook

        self.backend.before = hook


def change(store: Store, value: str, act: Callable[[Session], object]) -> Callable[[], str | None]:
    """Return a request of another client, which does *act* and is saved at once."""

    def request() -> str | None:
        session = store.plain.read(value)
        act(session)
        return store.plain.save(session)

    return request

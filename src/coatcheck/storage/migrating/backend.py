"""
Written by scripts/twins from src/coatcheck/storage/migrating/async_backend.py: change that.

Two backends as one, and a storage over both: see `record_moves`.

`backend` is the same text without `async` and `await`, written by `scripts/twins`.
"""

from typing import TypeVar

from coatcheck._session.plan import Get, Swap
from coatcheck._session.record import Refused, Stored
from coatcheck.storage.backend import Backend, kind_of
from coatcheck.storage.keyed import KeyedStorage
from coatcheck.storage.migrating import record_moves
from coatcheck.storage.migrating.record_moves import moving_space

T = TypeVar("T")


class MigratingBackend:
    """Two backends, read as one; *prefixes* go before the keys of the old and the new one."""

    def __init__(self, old: Backend, new: Backend, prefixes: tuple[str, str] = ("", "")) -> None:
        self._places = {"old": (old, prefixes[0]), "new": (new, prefixes[1])}
        self.kind = f"{kind_of(old)} to {kind_of(new)}"

    def get(self, key: str) -> Stored | None:
        return self._carry_out(record_moves.get(key))

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        return self._carry_out(record_moves.swap(key, version, record, ttl))

    def delete(self, key: str) -> None:
        self._carry_out(record_moves.delete(key))

    def _carry_out(self, steps: record_moves.Steps[T]) -> T:
        answer: Stored | Refused | None = None
        while True:
            try:
                place, call = steps.send(answer)
            except StopIteration as done:
                result: T = done.value
                return result
            backend, prefix = self._places[place]
            key = prefix + call.key
            answer = None
            if type(call) is Swap:
                answer = backend.swap(key, call.version, call.record, call.ttl)
            elif type(call) is Get:
                answer = backend.get(key)
            else:
                backend.delete(key)


class MigratingStorage(KeyedStorage):
    """A storage over two others, which sweeps and closes both."""

    def __init__(self, old: KeyedStorage, new: KeyedStorage) -> None:
        backend = MigratingBackend(old.backend, new.backend, (old.prefix, new.prefix))
        may_evict = old.powers.may_evict or new.powers.may_evict
        super().__init__(backend, clock=new.clock, may_evict=may_evict)
        self.space = moving_space(self.space, old.space, new.space)
        self._both = old, new

    def sweep(self, limit: int = 1000) -> int:
        return sum([storage.sweep(limit) for storage in self._both])

    def close(self) -> None:
        for storage in self._both:
            storage.close()

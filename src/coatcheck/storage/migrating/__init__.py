"""
A storage made of two: sessions move from the old one to the new one while both serve.

Between two storages on servers a move is one of records, which `migrating_backend` describes. From
cookies to a server and back there are the two modules named for it.
"""

from typing import overload

from coatcheck.errors import ConfigurationError
from coatcheck.storage.backends.threaded import ThreadedBackend
from coatcheck.storage.cookie import CookieStorage
from coatcheck.storage.keyed import AsyncKeyedStorage, KeyedStorage
from coatcheck.storage.migrating.backend import AsyncMigratingBackend, MigratingBackend
from coatcheck.storage.migrating.from_cookie import AsyncFromCookie, FromCookie
from coatcheck.storage.migrating.into_cookie import AsyncIntoCookie, IntoCookie


class MigratingStorage(KeyedStorage):
    """A `KeyedStorage` over two of them, which sweeps and closes both."""

    def __init__(self, old: KeyedStorage, new: KeyedStorage) -> None:
        backend = MigratingBackend(old.backend, new.backend, (old.prefix, new.prefix))
        aio = AsyncMigratingStorage(_awaited(old), _awaited(new))
        super().__init__(backend, clock=new.clock, aio=aio)
        self._both = old, new

    def sweep(self, limit: int = 1000) -> int:
        return sum(storage.sweep(limit) for storage in self._both)

    def close(self) -> None:
        for storage in self._both:
            storage.close()


class AsyncMigratingStorage(AsyncKeyedStorage):
    """The same, awaited."""

    def __init__(self, old: AsyncKeyedStorage, new: AsyncKeyedStorage) -> None:
        backend = AsyncMigratingBackend(old.backend, new.backend, (old.prefix, new.prefix))
        super().__init__(backend, clock=new.clock)
        self._both = old, new

    async def sweep(self, limit: int = 1000) -> int:
        return sum([await storage.sweep(limit) for storage in self._both])

    async def close(self) -> None:
        for storage in self._both:
            await storage.close()


def _awaited(storage: KeyedStorage | AsyncKeyedStorage) -> AsyncKeyedStorage:
    if isinstance(storage, AsyncKeyedStorage):
        return storage
    return storage.aio or AsyncKeyedStorage(
        ThreadedBackend(storage.backend), prefix=storage.prefix, clock=storage.clock
    )


Keyed = KeyedStorage | AsyncKeyedStorage
Moves = MigratingStorage | AsyncMigratingStorage | FromCookie | AsyncFromCookie
MovesInto = IntoCookie | AsyncIntoCookie


@overload
def Migrating(old: KeyedStorage, new: KeyedStorage) -> MigratingStorage: ...
@overload
def Migrating(old: CookieStorage, new: KeyedStorage) -> FromCookie: ...
@overload
def Migrating(old: KeyedStorage, new: CookieStorage) -> IntoCookie: ...
@overload
def Migrating(old: Keyed | CookieStorage, new: Keyed) -> Moves: ...
@overload
def Migrating(old: Keyed, new: CookieStorage) -> MovesInto: ...
def Migrating(old: Keyed | CookieStorage, new: Keyed | CookieStorage) -> Moves | MovesInto:
    """
    Return a storage that reads both, and moves each session to *new* when it is written.

    Args:
        old: A storage of this package.
        new: Likewise; one of the two may be a `CookieStorage`.

    Raises:
        ConfigurationError: Both keep sessions in cookies, or one is a storage of your own, which
            shows no records that could be moved.
    """
    for storage in (old, new):
        if not isinstance(storage, (KeyedStorage, AsyncKeyedStorage, CookieStorage)):
            raise ConfigurationError(
                f"Migrating cannot move from or to a {type(storage).__name__}: it shows no records"
            )
    if isinstance(old, CookieStorage):
        if isinstance(new, CookieStorage):
            raise ConfigurationError("Migrating has nothing to do from CookieStorage to itself")
        return FromCookie(old, new) if isinstance(new, KeyedStorage) else AsyncFromCookie(old, new)
    if isinstance(new, CookieStorage):
        return IntoCookie(old, new) if isinstance(old, KeyedStorage) else AsyncIntoCookie(old, new)
    if isinstance(old, KeyedStorage) and isinstance(new, KeyedStorage):
        return MigratingStorage(old, new)
    return AsyncMigratingStorage(_awaited(old), _awaited(new))

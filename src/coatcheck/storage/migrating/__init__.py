"""
A storage made of two: sessions move from the old one to the new one while both serve.

Between two storages on servers records move, as `record_moves` describes. From cookies to a server
and back there are the two modules named for it.
"""

from typing import overload

from coatcheck.errors import ConfigurationError
from coatcheck.storage.cookie import CookieStorage
from coatcheck.storage.keyed import AsyncKeyedStorage, KeyedStorage
from coatcheck.storage.migrating.async_backend import AsyncMigratingStorage
from coatcheck.storage.migrating.async_from_cookie import AsyncFromCookie
from coatcheck.storage.migrating.async_into_cookie import AsyncIntoCookie
from coatcheck.storage.migrating.backend import MigratingStorage
from coatcheck.storage.migrating.from_cookie import FromCookie
from coatcheck.storage.migrating.into_cookie import IntoCookie
from coatcheck.storage.two_forms import TwoForms


def _awaited(storage: KeyedStorage | AsyncKeyedStorage) -> AsyncKeyedStorage:
    return TwoForms(storage).async_records


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
        return _from_cookie(old, new)
    if isinstance(new, CookieStorage):
        return _into_cookie(old, new)
    if isinstance(old, AsyncKeyedStorage) or isinstance(new, AsyncKeyedStorage):
        return AsyncMigratingStorage(_awaited(old), _awaited(new))
    moves = MigratingStorage(old, new)
    moves.aio = AsyncMigratingStorage(_awaited(old), _awaited(new))
    return moves


def _from_cookie(old: CookieStorage, new: Keyed) -> FromCookie | AsyncFromCookie:
    if isinstance(new, AsyncKeyedStorage):
        return AsyncFromCookie(old, new)
    moves = FromCookie(old, new)
    moves.aio = AsyncFromCookie(old, new.aio) if new.aio else None
    return moves


def _into_cookie(old: Keyed, new: CookieStorage) -> IntoCookie | AsyncIntoCookie:
    if isinstance(old, AsyncKeyedStorage):
        return AsyncIntoCookie(old, new)
    moves = IntoCookie(old, new)
    moves.aio = AsyncIntoCookie(old.aio, new) if old.aio else None
    return moves

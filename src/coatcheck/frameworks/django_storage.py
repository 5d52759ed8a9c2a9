"""
The storage of Django's sessions: `COATCHECK_STORAGE` in the settings, a URL or a storage.

Django calls one session from plain and from asynchronous code, often within one request. So a
storage has two forms here, and both are awaited. A plain one is done at once, in the thread that
calls, and `run_now` runs it without an event loop.
"""

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import NamedTuple, Protocol, TypeVar

from asgiref.sync import SyncToAsync, async_to_sync
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.asyncio import async_unsafe

from coatcheck._session.plan import Keyspace, Plan
from coatcheck._session.session import Session
from coatcheck.errors import ConfigurationError
from coatcheck.frameworks.django_options import Misconfigured
from coatcheck.storage.cookie import CookieStorage
from coatcheck.storage.keyed import AsyncKeyedStorage, KeyedStorage
from coatcheck.storage.urls import storage_from_url

T = TypeVar("T")

SETTING = "COATCHECK_STORAGE"


class StorageForm(Protocol):
    """One form of a storage: it saves, and carries out the plans of `operations`."""

    async def carry_out(self, plan: Plan[T], /) -> T: ...
    async def save(self, session: Session, /) -> str | None: ...


class Forms(NamedTuple):
    """Both forms of a storage, what removes its expired records, and the storage itself."""

    plain: StorageForm
    awaited: StorageForm
    sweep: Callable[[], None]
    storage: KeyedStorage | AsyncKeyedStorage

    @property
    def space(self) -> Keyspace:
        """Its keys and its clock, looked up on each call: a test may move it."""
        return self.storage.space


@lru_cache(maxsize=1)
def forms() -> Forms:
    """
    Return the storage that the settings name.

    Raises:
        ImproperlyConfigured: They name none, or one that Django's cookie cannot lead to.
    """
    storage = _storage(getattr(settings, SETTING, None))
    if isinstance(storage, AsyncKeyedStorage):
        bridged = Bridged(storage)
        return Forms(bridged, Awaited(storage), bridged.sweep, storage)
    plain = InPlace(storage)
    awaited = Awaited(storage.aio) if storage.aio else plain
    return Forms(plain, awaited, plain.sweep, storage)


def _storage(found: object) -> KeyedStorage | AsyncKeyedStorage:
    if not found:
        raise Misconfigured(f"{SETTING} is missing", _HINT)
    if isinstance(found, str):
        try:
            found = storage_from_url(found)
        except ConfigurationError as error:
            raise Misconfigured(f"{SETTING} cannot be used", str(error)) from error
    if isinstance(found, CookieStorage):
        raise Misconfigured(
            f"{SETTING} cannot be a CookieStorage",
            "Django's cookie carries a key without a seal, so the sessions need a server or a "
            "file, as in 'sqlite:sessions/db'",
        )
    if not isinstance(found, KeyedStorage | AsyncKeyedStorage):
        raise Misconfigured(f"{SETTING} is a {type(found).__name__}", _HINT)
    return found


_HINT = (
    "set it to a URL, such as 'sqlite:sessions/db', or to a storage over a backend "
    "(KeyedStorage, AsyncKeyedStorage)"
)


def _forget(*, setting: str, **_: object) -> None:
    """Take the new storage when a test overrides the settings."""
    if setting == SETTING:
        forms.cache_clear()


setting_changed.connect(_forget, dispatch_uid="coatcheck.storage")


class InPlace:
    """A plain storage, called in the thread that asks."""

    def __init__(self, storage: KeyedStorage) -> None:
        self._storage = storage

    async def carry_out(self, plan: Plan[T]) -> T:
        self._check()
        return self._storage._carry_out(plan)

    async def save(self, session: Session) -> str | None:
        self._check()
        return self._storage.save(session)

    def _check(self) -> None:
        """
        Refuse to block an event loop.

        Raises:
            SynchronousOnlyOperation: As Django's own backends raise it for a database.
        """
        if self._storage.powers.waits:
            _refuse_event_loop()

    def sweep(self) -> None:
        """Look at every record once, in small steps."""
        self._storage.sweep()
        while getattr(self._storage.backend, "swept", 0.0):
            self._storage.sweep()


class Awaited:
    """A storage with awaited methods, called in the event loop that asks."""

    def __init__(self, storage: AsyncKeyedStorage) -> None:
        self._storage = storage

    async def carry_out(self, plan: Plan[T]) -> T:
        return await self._storage._carry_out(plan)

    async def save(self, session: Session) -> str | None:
        return await self._storage.save(session)


class Bridged:
    """An asynchronous storage, called from plain code in a thread of an ASGI application."""

    def __init__(self, storage: AsyncKeyedStorage) -> None:
        self._storage = storage

    async def carry_out(self, plan: Plan[T]) -> T:
        result: T = _wait(self._storage._carry_out, plan)
        return result

    async def save(self, session: Session) -> str | None:
        return _wait(self._storage.save, session)

    def sweep(self) -> None:
        """Look at every record once, in small steps."""
        _wait(self._storage.sweep)
        while getattr(self._storage.backend, "swept", 0.0):
            _wait(self._storage.sweep)


@async_unsafe(  # type: ignore[untyped-decorator] # Django has no types
    "A session cannot be read or saved in place from an async context: use its async methods "
    "(aget, aset, asave), or sync_to_async."
)
def _refuse_event_loop() -> None:
    """Do nothing where no event loop runs."""


def _wait(call: Callable[..., Awaitable[T]], *args: object) -> T:
    """Make a call in the event loop of the application, where the storage's connections live."""
    if getattr(SyncToAsync.threadlocal, "main_event_loop", None) is None:
        raise ImproperlyConfigured(
            f"{SETTING} is an asynchronous storage, and this is WSGI or a command: set it to a "
            "URL, which serves both, or to the plain form of the storage"
        )
    return async_to_sync(call)(*args)

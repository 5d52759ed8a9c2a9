"""
Where Django's sessions live: `COATCHECK_STORAGE` in its settings, a URL or a storage.

Django calls one session from plain and from asynchronous code, often within one request. So a
storage has two forms here, and both are awaited. A plain one is done at once, in the thread that
calls, and `now` runs it without an event loop.
"""

from collections.abc import Awaitable, Callable, Coroutine
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from asgiref.sync import SyncToAsync, async_to_sync
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.asyncio import async_unsafe

from coatcheck._session.session import Session
from coatcheck.errors import ConfigurationError
from coatcheck.storage.clock import Clock
from coatcheck.storage.cookie import CookieStorage
from coatcheck.storage.keyed import AsyncKeyedStorage, KeyedStorage
from coatcheck.storage.urls import storage_from_url

T = TypeVar("T")

SETTING = "COATCHECK_STORAGE"


class Form(Protocol):
    """One form of a storage."""

    async def read(self, value: str | None, /) -> Session: ...
    async def save(self, session: Session, /) -> str | None: ...


class Forms(NamedTuple):
    """Both forms of a storage, its clock, and what removes its expired records."""

    plain: Form
    awaited: Form
    clock: Clock
    sweep: Callable[[], None]


def now(step: Coroutine[Any, Any, T]) -> T:
    """Return what *step* returns; it waits for nothing but plain calls."""
    try:
        step.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    step.close()
    raise RuntimeError("a plain storage waited for an event loop")


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
        return Forms(bridged, storage, storage.clock, bridged.sweep)
    plain = InPlace(storage)
    return Forms(plain, storage.aio or plain, storage.clock, plain.sweep)


def _storage(found: object) -> KeyedStorage | AsyncKeyedStorage:
    if not found:
        raise ImproperlyConfigured(
            f"{SETTING} is missing: set it to a URL, such as 'sqlite:sessions/db', or to a storage"
        )
    if isinstance(found, str):
        try:
            found = storage_from_url(found)
        except ConfigurationError as error:
            raise ImproperlyConfigured(f"{SETTING} cannot be used: {error}") from error
    if isinstance(found, CookieStorage):
        raise ImproperlyConfigured(
            f"{SETTING} cannot be a CookieStorage: Django's cookie carries a key without a seal, "
            "so the sessions need a server or a file, as in 'sqlite:sessions/db'"
        )
    if not isinstance(found, KeyedStorage | AsyncKeyedStorage):
        raise ImproperlyConfigured(
            f"{SETTING} is a {type(found).__name__}: set it to a URL or to a storage over a "
            "backend (KeyedStorage, AsyncKeyedStorage)"
        )
    return found


def _forget(*, setting: str, **_: object) -> None:
    """Take the new storage when a test overrides the settings."""
    if setting == SETTING:
        forms.cache_clear()


setting_changed.connect(_forget, dispatch_uid="coatcheck.storage")


class InPlace:
    """A plain storage, called in the thread that asks."""

    def __init__(self, storage: KeyedStorage) -> None:
        self._storage = storage
        self._read, self._save = storage.read, storage.save
        if storage.waits:
            guard = async_unsafe(
                "A session cannot be read or saved in place from an async context: use its async "
                "methods (aget, aset, asave), or sync_to_async."
            )
            self._read, self._save = guard(storage.read), guard(storage.save)

    async def read(self, value: str | None) -> Session:
        return self._read(value)

    async def save(self, session: Session) -> str | None:
        return self._save(session)

    def sweep(self) -> None:
        """Look at every record once, in small steps."""
        self._storage.sweep()
        while getattr(self._storage.backend, "swept", 0.0):
            self._storage.sweep()


class Bridged:
    """An asynchronous storage, called from plain code in a thread of an ASGI application."""

    def __init__(self, storage: AsyncKeyedStorage) -> None:
        self._storage = storage

    async def read(self, value: str | None) -> Session:
        return _wait(self._storage.read, value)

    async def save(self, session: Session) -> str | None:
        return _wait(self._storage.save, session)

    def sweep(self) -> None:
        """Look at every record once, in small steps."""
        _wait(self._storage.sweep)
        while getattr(self._storage.backend, "swept", 0.0):
            _wait(self._storage.sweep)


def _wait(call: Callable[..., Awaitable[T]], *args: object) -> T:
    """Make a call in the event loop of the application, where the storage's connections live."""
    if getattr(SyncToAsync.threadlocal, "main_event_loop", None) is None:
        raise ImproperlyConfigured(
            f"{SETTING} is an asynchronous storage, and this is WSGI or a command: set it to a "
            "URL, which serves both, or to the plain form of the storage"
        )
    return async_to_sync(call)(*args)

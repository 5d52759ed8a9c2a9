"""
One storage over any backend, plain or awaited.

    KeyedStorage(backend)         for WSGI, and for ASGI through its awaited form
    AsyncKeyedStorage(backend)    for ASGI alone

All storages that keep records on a server are this one, and share its promises.
"""

from inspect import iscoroutinefunction

from coatcheck._session.body_cipher import BodyCipher
from coatcheck._session.plan import Keyspace
from coatcheck.errors import ConfigurationError
from coatcheck.storage.arguments import check_clock, check_count, check_text, not_of_form
from coatcheck.storage.async_records import AsyncRecords
from coatcheck.storage.backend import AsyncBackend, Backend, kind_of
from coatcheck.storage.backends.threaded import ThreadedBackend
from coatcheck.storage.clock import TimeSource, system_clock
from coatcheck.storage.protocol import Powers
from coatcheck.storage.records import Records


class AsyncKeyedStorage(AsyncRecords):
    """
    Sessions as records in a backend whose methods are awaited.

    Args:
        prefix: Goes before every key, so that applications can share a server.
        clock: Seconds since 1970; None: the system's clock.
        sweep_every: New sessions between two small sweeps that this storage makes by itself; None:
            it makes none.
        seldom_waits: Most calls end without waiting, so a save may begin in the request's task.
        may_evict: The server may drop records that have not expired.
        encrypt: Encrypt what a session holds, with a key made from its id, which the server never
            sees (extra `coatcheck[encrypt]`).

    Raises:
        ConfigurationError: An argument is of another kind.
    """

    def __init__(
        self,
        backend: AsyncBackend,
        *,
        prefix: str = "",
        clock: TimeSource | None = None,
        sweep_every: int | None = None,
        seldom_waits: bool = False,
        may_evict: bool = False,
        encrypt: bool = False,
    ) -> None:
        _check(backend, prefix, clock, sweep_every)
        space = _keyspace(backend, prefix, clock, encrypt=encrypt)
        super().__init__(backend, space, sweep_every)
        self.powers = Powers(
            seldom_waits=seldom_waits,
            saves_late=True,
            starts_empty=True,
            may_evict=may_evict,
            rotates=True,
        )

    def __repr__(self) -> str:
        return _shown(self)


class KeyedStorage(Records):
    """
    Sessions as records in a backend.

    Args:
        prefix: Goes before every key, so that applications can share a server.
        clock: Seconds since 1970; None: the system's clock.
        aio: The awaited form of the same storage, for ASGI applications; None: this backend, in
            worker threads if it waits.
        sweep_every: New sessions between two small sweeps that this storage makes by itself; None:
            it makes none.
        waits: A call may wait for a disk or a server.
        may_evict: The server may drop records that have not expired.
        encrypt: Encrypt what a session holds, with a key made from its id, which the server never
            sees (extra `coatcheck[encrypt]`).

    Raises:
        ConfigurationError: An argument is of another kind, or the backend is an awaited one.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        prefix: str = "",
        clock: TimeSource | None = None,
        aio: AsyncKeyedStorage | None = None,
        sweep_every: int | None = None,
        waits: bool = True,
        may_evict: bool = False,
        encrypt: bool = False,
    ) -> None:
        if iscoroutinefunction(getattr(backend, "get", None)):
            raise ConfigurationError(
                f"backend must have plain methods, got {type(backend).__name__}, whose methods are "
                "awaited: use AsyncKeyedStorage"
            )
        _check(backend, prefix, clock, sweep_every)
        space = _keyspace(backend, prefix, clock, encrypt=encrypt)
        super().__init__(backend, space, sweep_every)
        self.powers = Powers(
            waits=waits,
            in_place=not waits,
            saves_late=True,
            starts_empty=True,
            may_evict=may_evict,
            rotates=True,
        )
        if aio is None and waits:
            aio = AsyncKeyedStorage(
                ThreadedBackend(backend),
                prefix=prefix,
                clock=clock,
                sweep_every=sweep_every,
                may_evict=may_evict,
                encrypt=encrypt,
            )
        self.aio = aio

    def __repr__(self) -> str:
        return _shown(self)


def _check(backend: object, prefix: object, clock: object, sweep_every: int | None) -> None:
    """
    Check what a storage is made from.

    Raises:
        ConfigurationError: An argument is of another kind.
    """
    if not all(callable(getattr(backend, call, None)) for call in ("get", "swap", "delete")):
        raise not_of_form("backend", "a backend, with the methods get, swap and delete", backend)
    check_text("prefix", prefix)
    check_clock(clock)
    if sweep_every is not None:
        check_count("sweep_every", sweep_every)


def _keyspace(backend: object, prefix: str, clock: TimeSource | None, *, encrypt: bool) -> Keyspace:
    server = kind_of(backend).replace("Async", "").replace("Backend", "")
    cipher = BodyCipher() if encrypt else None
    return Keyspace(clock or system_clock, prefix, server, cipher=cipher)


def _shown(storage: KeyedStorage | AsyncKeyedStorage) -> str:
    """Return the repr of a storage, without anything that a URL or a client may hold."""
    details = f", prefix={storage.prefix!r}" if storage.prefix else ""
    if storage.space.cipher is not None:
        details += ", encrypt=True"
    return f"{type(storage).__name__}({kind_of(storage.backend)}{details})"

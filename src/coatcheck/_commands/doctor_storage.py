"""
`coatcheck doctor URL`: check the storage of a URL, as sessions use it.

It keeps a few records under keys of its own, for a minute at most, and removes them.
"""

import os
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from secrets import token_hex
from statistics import median
from threading import Barrier
from typing import Any
from urllib.parse import urlsplit

from coatcheck._commands.checks import Check, State, write
from coatcheck._commands.output import Output
from coatcheck._commands.scanning import backend_of, open_storage
from coatcheck.errors import BackendError
from coatcheck.storage import KeyedStorage
from coatcheck.storage.backend import Refused

ROUNDS = 5
SLOW = 50.0
"""Milliseconds that a visitor feels."""

TTL = 60.0
"""Seconds that a record of the check stays, if the command is stopped."""

SKEW = 1.0
"""Seconds that clocks may differ: see the page on several machines."""

WRITES, READS_OR_WRITES = 0o022, 0o077
"""Permissions that other users should not have: in the folder of a database, and on the data."""

LOCAL = frozenset({"", "localhost", "127.0.0.1", "::1"})

Ask = Callable[[str], Any]


def doctor_storage(url: str, output: Output) -> int:
    """
    Write what was found about a storage, and return the exit code: 1 if something is wrong.

    Raises:
        ConfigurationError: The URL makes no sense.
        BackendError: The server cannot be reached.
    """
    storage = open_storage(url, may_be_new=True)
    try:
        backend_of(storage)
        return write(_checks(url, storage), output)
    finally:
        storage.close()


def _checks(url: str, storage: KeyedStorage) -> Iterator[Check]:
    yield _round_trip(storage)
    yield from _keeps(storage)
    yield _race(storage)
    yield from _server(storage)
    yield from _permissions(storage)
    yield from _tls(url)


def _new_key(storage: KeyedStorage) -> str:
    return f"{storage.prefix}{token_hex(32)}"


def _round_trip(storage: KeyedStorage) -> Check:
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        storage.backend.get(_new_key(storage))
        times.append(time.perf_counter() - begun)
    taken = median(times) * 1000
    state: State = "ok" if taken < SLOW else "warn"
    return Check(state, "round trip", f"{taken:.2f} ms (the median of {ROUNDS} reads)")


def _keeps(storage: KeyedStorage) -> Iterator[Check]:
    """Write a record, replace it, and delete it."""
    key, backend = _new_key(storage), storage.backend
    does = "write"
    try:
        backend.swap(key, None, b"\x00one", TTL)
        does = "read"
        found = backend.get(key)
        if found is None or found.record != b"\x00one":
            yield Check("fail", "keeps a record", "a record that was written is not there")
            return
        does = "replace"
        backend.swap(key, found.version, b"\x00two", TTL)
        does = "delete"
        backend.delete(key)
    except BackendError as error:
        why = str(error.__cause__ or error).partition("\n")[0]
        yield Check("fail", "keeps a record", f"may not {does}: {why}")
        return
    gone = backend.get(key) is None
    yield Check(
        "ok" if gone else "fail",
        "keeps a record",
        "written, read, replaced and deleted" if gone else "a record that was deleted is there",
    )


def _race(storage: KeyedStorage) -> Check:
    """Let two writers replace one version at once: exactly one may win."""
    key, backend = _new_key(storage), storage.backend
    both = Barrier(2)

    def write(record: bytes) -> Refused | None:
        both.wait(10)
        return backend.swap(key, None, record, TTL)

    try:
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(write, (b"\x00a", b"\x00b")))
        backend.delete(key)
    except BackendError as error:
        return Check("fail", "two writers", f"{error}")
    won = sum(answer is None for answer in answers)
    text = "one of two won" if won == 1 else f"{won} of two won: changes will be lost"
    return Check("ok" if won == 1 else "fail", "two writers", text)


def _server(storage: KeyedStorage) -> Iterator[Check]:
    """Ask the server for its version, its clock, and what it evicts."""
    backend = backend_of(storage)
    asks = _QUESTIONS.get(type(backend).__name__)
    if asks is None:
        return
    for ask in asks:
        try:
            yield from ask(backend)
        except Exception as error:
            name = ask.__name__.removeprefix("_").partition("_")[2]
            yield Check("info", name, f"not told: {str(error).partition(chr(10))[0]}")


def _redis_version(backend: Any) -> Iterator[Check]:
    told = backend._ask("INFO", "server")
    version = told.get("valkey_version") or told.get("redis_version") if _is_dict(told) else "?"
    yield Check("info", "version", str(version))


def _redis_clock(backend: Any) -> Iterator[Check]:
    before = time.time()
    seconds, micros = backend._ask("TIME")
    yield _clock(int(seconds) + int(micros) / 1_000_000, before)


def _redis_eviction(backend: Any) -> Iterator[Check]:
    told = backend._ask("INFO", "memory")
    policy = told.get("maxmemory_policy", "?") if _is_dict(told) else "?"
    limit = told.get("maxmemory", 0) if _is_dict(told) else 0
    if policy == "noeviction" or not limit:
        yield Check("ok", "eviction", f"{policy}, maxmemory {limit or 'without limit'}")
        return
    yield Check(
        "warn", "eviction", f"{policy}: the server drops sessions when it is full; use noeviction"
    )


def _redis_user(backend: Any) -> Iterator[Check]:
    user = backend._ask("ACL", "WHOAMI")
    name = user.decode() if isinstance(user, bytes) else str(user)
    yield Check("info", "user", name)


def _sql_version(backend: Any) -> Iterator[Check]:
    from sqlalchemy import text

    with backend._connected("read") as connection:
        version = connection.execute(text("SELECT version()")).scalar()
        before = time.time()
        now = connection.execute(text("SELECT unix_timestamp(now(6))")).scalar()
    yield Check("info", "version", str(version))
    yield _clock(float(now), before)


def _postgresql_version(backend: Any) -> Iterator[Check]:
    from coatcheck.storage.backends.postgresql_statements import statement

    version = backend._ask("read", statement("SELECT version()", 0), ())
    yield Check("info", "version", version.get_value(0, 0).decode().partition(" on ")[0])
    before = time.time()
    now = backend._ask(
        "read", statement("SELECT extract(epoch FROM clock_timestamp())::text", 0), ()
    )
    yield _clock(float(now.get_value(0, 0)), before)


def _sqlite_version(backend: Any) -> Iterator[Check]:
    import sqlite3

    mode = backend._connection.execute("PRAGMA journal_mode").fetchone()[0]
    yield Check("info", "version", f"SQLite {sqlite3.sqlite_version}, journal {mode}")


def _clock(theirs: float, before: float) -> Check:
    """Compare two clocks, less the time that the answer took."""
    off = theirs - (before + time.time()) / 2
    state: State = "ok" if abs(off) <= SKEW else "fail"
    hint = "" if state == "ok" else ": deadlines differ between machines; set both by NTP"
    return Check(state, "clock", f"{off:+.3f} s from this machine{hint}")


def _permissions(storage: KeyedStorage) -> Iterator[Check]:
    """Look whether others on this machine can read what a storage in files keeps."""
    backend = backend_of(storage)
    path = getattr(backend, "_directory", None) or getattr(backend, "_path", None)
    if not isinstance(path, str | os.PathLike):
        return
    place = Path(path)
    for each in (place, place.parent) if place.is_file() else (place,):
        found = each.stat()
        unsafe = WRITES if each != place else READS_OR_WRITES
        open_to = stat.S_IMODE(found.st_mode) & unsafe
        text = f"{each.resolve().name}: {stat.filemode(found.st_mode)}"
        if open_to:
            yield Check("warn", "permissions", f"{text}: other users may use it; chmod go= it")
        elif found.st_uid != os.geteuid():
            yield Check("warn", "permissions", f"{text}: it belongs to another user")
        else:
            yield Check("ok", "permissions", text)


def _tls(url: str) -> Iterator[Check]:
    """Tell whether the way to a server on another machine is encrypted."""
    parts = urlsplit(url)
    if parts.scheme in ("sqlite", "file", "memory", "unix"):
        return
    if (parts.hostname or "") in LOCAL:
        yield Check("ok", "TLS", "the server is on this machine")
    elif parts.scheme.startswith("rediss") or "ssl" in parts.query:
        yield Check("ok", "TLS", "the URL asks for it")
    else:
        yield Check("warn", "TLS", "not asked for, and the server is on another machine")


def _is_dict(told: object) -> bool:
    return isinstance(told, dict)


_QUESTIONS: dict[str, tuple[Callable[[Any], Iterator[Check]], ...]] = {
    "RedisBackend": (_redis_version, _redis_clock, _redis_eviction, _redis_user),
    "SqlBackend": (_sql_version,),
    "PostgresqlBackend": (_postgresql_version,),
    "SqliteBackend": (_sqlite_version,),
}

"""
What `coatcheck doctor URL` asks the server itself: version, clock, expiry, eviction, user and TLS.

An answer that the server does not give is no fault: its user may not be allowed to ask.
"""

import re
import time
from collections.abc import Callable, Iterator
from secrets import token_hex
from typing import Any

from coatcheck._commands.checks import Check, State
from coatcheck._commands.scanning import backend_of
from coatcheck.storage import KeyedStorage

TTL = 60.0
"""Seconds that a record of the check stays, if the command is stopped."""

SKEW = 1.0
"""Seconds that clocks may differ: see the page on several machines."""

LATE = 2.0
"""Seconds that an expiry may be off."""

Ask = Callable[[Any, str], Iterator[Check]]
"""A question to a backend; the key is one that nothing uses."""


def ask_server(storage: KeyedStorage) -> Iterator[Check]:
    """Yield what the server of a storage tells."""
    backend = backend_of(storage)
    for ask in _QUESTIONS.get(type(backend).__name__, ()):
        try:
            yield from ask(backend, new_key(storage))
        except Exception as error:
            name = ask.__name__.removeprefix("_").partition("_")[2]
            yield Check("info", name, f"not told: {str(error).partition(chr(10))[0]}")


def new_key(storage: KeyedStorage) -> str:
    """Return a key that nothing uses."""
    return f"{storage.prefix}{token_hex(32)}"


def _clock(theirs: float, before: float) -> Check:
    """Compare two clocks, less the time that the answer took."""
    off = theirs - (before + time.time()) / 2
    state: State = "ok" if abs(off) <= SKEW else "fail"
    hint = "" if state == "ok" else ": deadlines differ between machines; set both by NTP"
    return Check(state, "clock", f"{off:+.3f} s from this machine{hint}")


def _kept(backend: Any, key: str, seconds_left: Callable[[], float]) -> Check:
    """Write a record, and compare the expiry that the server knows with the one that was asked."""
    backend.swap(key, None, b"\x00ttl", TTL)
    try:
        left = seconds_left()
    finally:
        backend.delete(key)
    if abs(left - TTL) <= LATE:
        return Check("ok", "expiry", f"a record of {TTL:.0f} s is kept for {left:.1f} s")
    kept = "without end" if left < 0 else f"for {left:.1f} s"
    return Check("fail", "expiry", f"a record of {TTL:.0f} s is kept {kept}")


def _in_use(version: object) -> Check:
    """Tell by what the connection is encrypted."""
    return Check("info", "TLS in use", str(version) if version else "none")


# ---- Redis and Valkey

NEEDED = {
    "GET": (),
    "SET": ("value", "PX", "1", "NX"),
    "DEL": (),
    "EVALSHA": (),
    "EVAL": (),
}
"""The commands of sessions, and what follows the key."""

_SCRIPTS = ("EVALSHA", "EVAL")

HELPFUL = {
    "MGET": "several records in one question",
    "SCAN": "stats, users and move",
}
"""Commands that a session can do without, and what they are for."""


def _redis_version(backend: Any, _: str) -> Iterator[Check]:
    told = backend._ask("INFO", "server")
    version = told.get("valkey_version") or told.get("redis_version") if _is_dict(told) else "?"
    yield Check("info", "version", str(version))


def _redis_clock(backend: Any, _: str) -> Iterator[Check]:
    before = time.time()
    seconds, micros = backend._ask("TIME")
    yield _clock(int(seconds) + int(micros) / 1_000_000, before)


def _redis_expiry(backend: Any, key: str) -> Iterator[Check]:
    yield _kept(backend, key, lambda: backend._ask("PTTL", key) / 1000)


def _redis_eviction(backend: Any, _: str) -> Iterator[Check]:
    told = backend._ask("INFO", "memory")
    policy = told.get("maxmemory_policy", "?") if _is_dict(told) else "?"
    limit = told.get("maxmemory", 0) if _is_dict(told) else 0
    if policy == "noeviction" or not limit:
        yield Check("ok", "eviction", f"{policy}, maxmemory {limit or 'without limit'}")
        return
    yield Check(
        "warn", "eviction", f"{policy}: the server drops sessions when it is full; use noeviction"
    )


def _redis_user(backend: Any, key: str) -> Iterator[Check]:
    user = _text(backend._ask("ACL", "WHOAMI"))

    def may(command: str, *arguments: str) -> bool:
        return _text(backend._ask("ACL", "DRYRUN", user, command, *arguments)) == "OK"

    lacks = [
        command
        for command, rest in NEEDED.items()
        if not may(command, *(("0", "1") if command in _SCRIPTS else ()), key, *rest)
    ]
    if lacks:
        yield Check("fail", "user", f"{user} may not {', '.join(lacks)}")
        return
    misses = [
        f"{command} ({what})"
        for command, what in HELPFUL.items()
        if not may(command, "0" if command == "SCAN" else key)
    ]
    if misses:
        yield Check("warn", "user", f"{user} may not {', '.join(misses)}")
    elif may("FLUSHALL"):
        yield Check(
            "info", "user", f"{user} may do all, FLUSHALL too; a user for sessions alone is safer"
        )
    else:
        yield Check("ok", "user", f"{user} may do what sessions need")


# ---- MariaDB and MySQL


def _sql_version(backend: Any, _: str) -> Iterator[Check]:
    yield Check("info", "version", str(_scalar(backend, "SELECT version()")))


def _sql_clock(backend: Any, _: str) -> Iterator[Check]:
    before = time.time()
    yield _clock(float(_scalar(backend, "SELECT unix_timestamp(now(6))")), before)


def _sql_expiry(backend: Any, key: str) -> Iterator[Check]:
    from sqlalchemy import select

    rows = backend._table.c
    asked = select(rows.expires).where(rows.key == key)
    yield _kept(backend, key, lambda: _scalar(backend, asked) - time.time())


def _sql_user(backend: Any, _: str) -> Iterator[Check]:
    from sqlalchemy import text

    with backend._connected("read") as connection:
        grants = [str(row[0]) for row in connection.execute(text("SHOW GRANTS"))]
    user = str(_scalar(backend, "SELECT current_user()"))
    # A line may go on with the digest of a password.
    granted = [
        found.group(1) for line in grants if (found := re.match(r"GRANT (.+? ON \S+) TO ", line))
    ]
    is_wide = any(each.endswith("ON *.*") and not each.startswith("USAGE") for each in granted)
    hint = "; a user for the table of sessions alone is safer" if is_wide else ""
    yield Check("info", "user", f"{user}: {'; '.join(granted)}{hint}")


def _sql_tls(backend: Any, _: str) -> Iterator[Check]:
    from sqlalchemy import text

    with backend._connected("read") as connection:
        row = connection.execute(text("SHOW SESSION STATUS LIKE 'Ssl_version'")).first()
    yield _in_use(row[1] if row else "")


def _scalar(backend: Any, statement: Any) -> Any:
    from sqlalchemy import text

    with backend._connected("read") as connection:
        asked = text(statement) if isinstance(statement, str) else statement
        return connection.execute(asked).scalar()


# ---- PostgreSQL

_LACKING = (
    "SELECT coalesce(string_agg(each, ', '), '') FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE',"
    " 'DELETE']) AS each WHERE NOT coalesce(has_table_privilege(to_regclass($1::text), each), true)"
)

_IS_SUPER = "SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user"

_TLS = "SELECT coalesce((SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()), '')"


def _postgresql_version(backend: Any, _: str) -> Iterator[Check]:
    version = _told(backend, "SELECT version()")
    yield Check("info", "version", version.partition(" on ")[0])


def _postgresql_clock(backend: Any, _: str) -> Iterator[Check]:
    before = time.time()
    now = _told(backend, "SELECT extract(epoch FROM clock_timestamp())::text")
    yield _clock(float(now), before)


def _postgresql_expiry(backend: Any, key: str) -> Iterator[Check]:
    asked = f"SELECT expires::text FROM {backend._sql.name.decode()} WHERE key = $1"  # noqa: S608 - our own name
    yield _kept(backend, key, lambda: float(_told(backend, asked, key.encode())) - time.time())


def _postgresql_user(backend: Any, _: str) -> Iterator[Check]:
    user = _told(backend, "SELECT current_user::text")
    lacks = _told(backend, _LACKING, backend._sql.name)
    if lacks:
        yield Check("fail", "user", f"{user} may not {lacks} in the table of sessions")
    elif (
        _told(backend, "SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user") == "true"
    ):
        yield Check("info", "user", f"{user} is a superuser; a user for sessions alone is safer")
    else:
        yield Check("ok", "user", f"{user} may do what sessions need")


def _postgresql_tls(backend: Any, _: str) -> Iterator[Check]:
    yield _in_use(_told(backend, _TLS))


def _told(backend: Any, text: str, *values: bytes) -> str:
    from coatcheck.storage.backends.postgresql_statements import statement

    found = backend._ask("read", statement(text, len(values)), values)
    return str(found.get_value(0, 0).decode())


# ---- SQLite and Memcached


def _sqlite_version(backend: Any, _: str) -> Iterator[Check]:
    import sqlite3

    mode = backend._connection.execute("PRAGMA journal_mode").fetchone()[0]
    yield Check("info", "version", f"SQLite {sqlite3.sqlite_version}, journal {mode}")


def _sqlite_expiry(backend: Any, key: str) -> Iterator[Check]:
    asked = "SELECT expires FROM coatcheck_sessions WHERE key = ?"

    def left() -> float:
        return float(backend._connection.execute(asked, (key,)).fetchone()[0]) - time.time()

    yield _kept(backend, key, left)


def _memcached_eviction(_: Any, __: str) -> Iterator[Check]:
    yield Check("info", "eviction", "Memcached drops items when it is full: give it room")


def _text(told: object) -> str:
    return told.decode() if isinstance(told, bytes) else str(told)


def _is_dict(told: object) -> bool:
    return isinstance(told, dict)


_QUESTIONS: dict[str, tuple[Ask, ...]] = {
    "RedisBackend": (_redis_version, _redis_clock, _redis_expiry, _redis_eviction, _redis_user),
    "SqlBackend": (_sql_version, _sql_clock, _sql_expiry, _sql_user, _sql_tls),
    "PostgresqlBackend": (
        _postgresql_version,
        _postgresql_clock,
        _postgresql_expiry,
        _postgresql_user,
        _postgresql_tls,
    ),
    "SqliteBackend": (_sqlite_version, _sqlite_expiry),
    "MemcachedBackend": (_memcached_eviction,),
}

"""
What `coatcheck doctor URL` asks the server itself: version, clock, expiry, eviction, user and TLS.

An answer that the server does not give is no fault: its user may not be allowed to ask.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from secrets import token_hex
from typing import Any

from coatcheck._commands import doctor_memcached, doctor_rights
from coatcheck._commands.checks import Check, State
from coatcheck._commands.output import reason_of
from coatcheck._commands.scanning import backend_of
from coatcheck.errors import BackendError
from coatcheck.storage import KeyedStorage
from coatcheck.storage.backends import sql_codes

TTL = 60.0
"""Seconds that a record of the check stays, if the command is stopped."""

SKEW = 1.0
"""Seconds that clocks may differ: see the page on several machines."""

COARSE = 3.0
"""The same for Memcached: it counts whole seconds, from a whole one, and up to one behind."""

LATE = 2.0
"""Seconds that an expiry may be off."""

DENIED = frozenset({"42501", 1142, 1143})
"""PostgreSQL, MariaDB and MySQL: the user may not do this with the table, or with a column."""

NO_TABLE = frozenset({"42P01", 1146})

Ask = Callable[[Any, str], Iterator[Check]]
"""A question to a backend; the key is one that nothing uses."""


def ask_server(storage: KeyedStorage, *, without: Collection[str] = ()) -> Iterator[Check]:
    """Yield what the server of a storage tells, without some of the checks."""
    backend = backend_of(storage)
    for ask in _QUESTIONS.get(type(backend).__name__, ()):
        name = ask.__name__.removeprefix("_").partition("_")[2]
        if name in without:
            continue
        try:
            yield from ask(backend, new_key(storage))
        except Exception as error:
            yield Check("info", name, f"not told: {reason_of(error)}")


def new_key(storage: KeyedStorage) -> str:
    """Return a key that nothing uses."""
    return f"{storage.prefix}{token_hex(32)}"


def _clock(theirs: float, before: float) -> Check:
    """Compare two clocks."""
    off = _off(theirs, before)
    state: State = "ok" if abs(off) <= SKEW else "fail"
    hint = "" if state == "ok" else ": deadlines differ between machines; set both by NTP"
    return Check(state, "clock", f"{off:+.3f} s from this machine{hint}")


def _off(theirs: float, before: float) -> float:
    """Return how far a clock is from this machine's at the least: it was read since *before*."""
    return theirs - min(max(theirs, before), time.time())


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


def codes_of(error: BackendError) -> set[object]:
    """Return the codes of a database's error: SQLSTATE as text, MariaDB's and MySQL's a number."""
    return sql_codes.codes_of(getattr(error.__cause__, "orig", error.__cause__))


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

    from coatcheck.storage.backends.sql_run import connected

    with connected(backend.engine, "read") as connection:
        lines = [str(row[0]) for row in connection.execute(text("SHOW GRANTS"))]
    user, database = (
        str(_scalar(backend, f"SELECT {it}()")) for it in ("current_user", "database")
    )
    grants = list(doctor_rights.grants_in(lines))
    lacks, is_missing = [], False
    for right in doctor_rights.NEEDED:
        codes = _refusal(backend, right)
        is_missing |= not NO_TABLE.isdisjoint(codes)
        lacks += [right] * (not DENIED.isdisjoint(codes))
    if is_missing and not doctor_rights.may_create(grants, database, backend._table.name):
        lacks.append("CREATE")
    yield doctor_rights.judged(user, lacks, doctor_rights.beyond(grants))


def _refusal(backend: Any, right: str) -> set[object]:
    """Return the codes with which the server refuses to explain what needs a right."""
    from sqlalchemy import delete, insert, select, update
    from sqlalchemy.dialects import mysql

    table = backend._table
    statement = {
        "SELECT": select(table.c.key, table.c.record, table.c.version, table.c.expires),
        "INSERT": insert(table).values(key="", record=b"", version=0, expires=0),
        "UPDATE": update(table).values(record=b"", version=0, expires=0).where(table.c.key == ""),
        "DELETE": delete(table).where(table.c.key == ""),
    }[right]
    text = statement.compile(dialect=mysql.dialect(), compile_kwargs={"literal_binds": True})
    try:
        _scalar(backend, f"EXPLAIN {text}")  # it needs the rights, and changes nothing
    except BackendError as error:
        return codes_of(error)
    return set()


def _sql_tls(backend: Any, _: str) -> Iterator[Check]:
    from sqlalchemy import text

    from coatcheck.storage.backends.sql_run import connected

    with connected(backend.engine, "read") as connection:
        row = connection.execute(text("SHOW SESSION STATUS LIKE 'Ssl_version'")).first()
    yield _in_use(row[1] if row else "")


def _scalar(backend: Any, statement: Any) -> Any:
    from sqlalchemy import text

    from coatcheck.storage.backends.sql_run import connected

    with connected(backend.engine, "read") as connection:
        asked = text(statement) if isinstance(statement, str) else statement
        return connection.execute(asked).scalar()


# ---- PostgreSQL

_LACKING = (
    "SELECT coalesce(string_agg(each, ','), '') FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE',"
    " 'DELETE']) AS each WHERE NOT coalesce(has_table_privilege(to_regclass($1::text), each), true)"
)

_MAY_NOT_CREATE = (
    "SELECT (to_regclass($1::text) IS NULL"
    " AND NOT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false))::text"
)
"""Where there is no table, it has to be made in the first schema of the search path."""

_BEYOND = (
    "SELECT concat_ws(',', CASE WHEN rolsuper THEN 'SUPERUSER' END,"
    " CASE WHEN rolcreaterole AND NOT rolsuper THEN 'CREATEROLE' END,"
    " (SELECT string_agg(rolname, ',') FROM pg_roles WHERE rolname IN ('pg_read_server_files',"
    " 'pg_write_server_files', 'pg_execute_server_program', 'pg_read_all_data',"
    " 'pg_write_all_data') AND NOT me.rolsuper AND pg_has_role(current_user, oid, 'MEMBER')))"
    " FROM pg_roles AS me WHERE me.rolname = current_user"
)
"""A superuser is a member of every role."""

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
    may_not_create = _told(backend, _MAY_NOT_CREATE, backend._sql.name) == "true"
    beyond = _told(backend, _BEYOND)
    yield doctor_rights.judged(user, _parts(lacks) + ["CREATE"] * may_not_create, _parts(beyond))


def _parts(text: str) -> list[str]:
    return text.split(",") if text else []


def _postgresql_tls(backend: Any, _: str) -> Iterator[Check]:
    yield _in_use(_told(backend, _TLS))


def _told(backend: Any, text: str, *values: bytes) -> str:
    from coatcheck.storage.backends.postgresql_statements import statement

    found = backend._ask("read", statement(text, len(values)), values)
    return str(found.get_value(0, 0).decode())


# ---- SQLite and Memcached


def _sqlite_version(backend: Any, _: str) -> Iterator[Check]:
    import sqlite3

    mode = backend.rows("PRAGMA journal_mode")[0][0]
    yield Check("info", "version", f"SQLite {sqlite3.sqlite_version}, journal {mode}")


def _sqlite_expiry(backend: Any, key: str) -> Iterator[Check]:
    asked = "SELECT expires FROM coatcheck_sessions WHERE key = ?"

    def left() -> float:
        return float(backend.rows(asked, (key,))[0][0]) - time.time()

    yield _kept(backend, key, left)


def _memcached_version(backend: Any, _: str) -> Iterator[Check]:
    for named, told in _told_by_nodes(backend):
        if isinstance(told, OSError):
            yield Check("fail", "node", f"{named}{reason_of(told)}")
        else:
            yield Check("info", "version", f"{named}{told['version']}")


def _memcached_clock(backend: Any, _: str) -> Iterator[Check]:
    before = time.time()
    for named, told in _told_by_nodes(backend):
        if not isinstance(told, OSError):
            yield _coarse_clock(named, _off(int(told["time"]), before))
        before = time.time()


def _coarse_clock(named: str, off: float) -> Check:
    if abs(off) <= COARSE:
        return Check("ok", "clock", f"{named}within {COARSE:.0f} s of this machine")
    text = f"{named}{off:+.0f} s from this machine: set both by NTP"
    return Check("fail", "clock", text)  # it holds a deadline after a month as a date


SHORT = 1.0
"""Seconds: the shortest expiry of Memcached, which counts whole seconds."""

WAIT, POLLS = 0.1, 30
"""Seconds between two looks, and how often to look, for a record that is to go."""


def _memcached_expiry(
    backend: Any, key: str, pause: Callable[[float], None] = time.sleep
) -> Iterator[Check]:
    """Wait until a record of a second is gone, and look whether one of a minute is there."""
    longer = f"{key}-longer"
    backend.swap(key, None, b"\x00short", SHORT)
    backend.swap(longer, None, b"\x00long", TTL)
    try:
        looks = 0
        while backend.get(key) is not None and looks < POLLS:
            looks += 1
            pause(WAIT)
        is_gone, stays = looks < POLLS, backend.get(longer) is not None
    finally:
        backend.delete(key)
        backend.delete(longer)
    waited = f"{looks * WAIT:.1f} s"
    if not is_gone:
        yield Check("fail", "expiry", f"a record of {SHORT:.0f} s is still there after {waited}")
    elif not stays:
        yield Check("fail", "expiry", f"a record of {TTL:.0f} s is gone after {waited}")
    else:
        text = f"a record of {SHORT:.0f} s was gone after {waited}, one of {TTL:.0f} s stays"
        yield Check("ok", "expiry", text)


def _memcached_eviction(backend: Any, _: str) -> Iterator[Check]:
    settings = _told_by_nodes(backend, "settings")
    for (named, told), (_name, set_up) in zip(_told_by_nodes(backend), settings, strict=True):
        if not isinstance(told, OSError) and not isinstance(set_up, OSError):
            state, name, text = doctor_memcached.eviction(told, set_up)
            yield Check(state, name, f"{named}{text}")


def _told_by_nodes(backend: Any, of: str = "") -> Iterator[tuple[str, Mapping[str, str] | OSError]]:
    """Yield the statistics of each node, or why there are none; before it what names the node."""
    nodes = backend._nodes.get()
    for name, node in nodes.items():
        named = f"{name}: " if len(nodes) > 1 else ""
        try:
            yield named, doctor_memcached.statistics(node._address, of)
        except OSError as error:
            yield named, error


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
    "MemcachedBackend": (
        _memcached_version,
        _memcached_clock,
        _memcached_expiry,
        _memcached_eviction,
    ),
}

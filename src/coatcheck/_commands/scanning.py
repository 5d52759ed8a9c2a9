"""
Look at every record of a storage, in small steps, for commands that count.

Requests never do this: no backend has to list what it keeps. Here each kind is read in the order of
its keys, or as Redis hands them out, and no step holds a lock for long.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from coatcheck.errors import BackendError, ConfigurationError
from coatcheck.storage import KeyedStorage, storage_from_url
from coatcheck.storage.backends import files, sqlite
from coatcheck.storage.backends.files import _DEADLINE, _FOLDERS, FileBackend
from coatcheck.storage.backends.marks import unmarked
from coatcheck.storage.backends.redis_backend import RedisBackend
from coatcheck.storage.backends.sqlite import SqliteBackend
from coatcheck.storage.urls.lazy import LazyBackend

STEP = 500
"""Records that are read at once."""

HEX = 0x10000


class Step(NamedTuple):
    """The next records: the share of the keys that is behind, each record, and its key."""

    share: float
    records: Sequence[bytes]
    keys: Sequence[str]


Scan = Iterator[Step]


def open_storage(url: str, *, may_be_new: bool = False) -> KeyedStorage:
    """
    Return the storage of a URL; no table is made there.

    Args:
        may_be_new: Its file or folder need not be there yet.

    Raises:
        ConfigurationError: The URL makes no sense, or its sessions are in no place to look at.
        FileNotFoundError: There are no sessions at its path.
    """
    if not may_be_new:
        check_path(url)
    storage = storage_from_url(re.sub(r"([?&]create_table=)yes\b", r"\1no", url))
    if not isinstance(storage, KeyedStorage):
        raise ConfigurationError("the sessions are in cookies: there is no server to look at")
    return storage


def check_path(url: str) -> None:
    """Raise FileNotFoundError if the path of a storage in files holds no sessions."""
    scheme, _, rest = url.partition(":")
    holds_sessions = {"file": files.holds_sessions, "sqlite": sqlite.holds_sessions}.get(scheme)
    text = unquote(rest.partition("?")[0])
    path = Path(f"/{text.lstrip('/')}" if text.startswith("/") else text)
    if holds_sessions and text.strip("/") and not holds_sessions(path):
        raise FileNotFoundError(f"there are no sessions at {path}, and nothing was made")


def backend_of(storage: KeyedStorage) -> Any:
    """Return the backend itself, connected to its server."""
    backend = storage.backend
    return backend.behind() if isinstance(backend, LazyBackend) else backend


def scan(storage: KeyedStorage) -> Scan:
    """
    Return the records of a storage, step by step.

    Raises:
        ConfigurationError: This kind of backend cannot list its records.
        BackendError: The server failed.
    """
    backend = backend_of(storage)
    kind = type(backend).__name__
    if kind not in _SCANS:
        raise ConfigurationError(
            f"{kind.removesuffix('Backend')} cannot list its sessions: ask a storage in SQLite, "
            "files, an SQL database or Redis"
        )
    return _SCANS[kind](backend, storage.prefix)


def _sqlite(backend: SqliteBackend, prefix: str) -> Scan:
    asked = (
        "SELECT key, record FROM coatcheck_sessions WHERE key > ? AND key LIKE ? || '%' "
        "ORDER BY key LIMIT ?"
    )
    last = ""
    while True:
        try:
            rows = backend.rows(asked, (last, prefix, STEP))
        except sqlite3.Error as error:
            raise backend._failed(error, "read") from error
        if not rows:
            return
        last = rows[-1][0]
        yield Step(_share(last, prefix), [row[1] for row in rows], [row[0] for row in rows])


def _files(backend: FileBackend, prefix: str) -> Scan:
    for number, name in enumerate(_FOLDERS, start=1):
        folder = backend._directory / name
        paths = folder.iterdir() if folder.is_dir() else ()
        found = [path for path in paths if path.name.startswith(prefix) and "." not in path.name]
        read = [(path.name, data) for path in found if (data := _read(path)) is not None]
        records = [data[_DEADLINE.size :] for _, data in read]
        yield Step(number / len(_FOLDERS), records, [name for name, _ in read])


def _read(path: Path) -> bytes | None:
    """Return the bytes of a file; None: another process has removed it meanwhile."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _sql(backend: Any, prefix: str) -> Scan:
    from sqlalchemy import select

    from coatcheck.storage.backends.sql_run import connected

    rows, last = backend._table.c, ""
    while True:
        asked = select(rows.key, rows.record).where(rows.key > last, rows.key.startswith(prefix))
        with connected(backend.engine, "read") as connection:
            found = connection.execute(asked.order_by(rows.key).limit(STEP)).fetchall()
        if not found:
            return
        last = found[-1].key
        yield Step(_share(last, prefix), [row.record for row in found], [row.key for row in found])


def _postgresql(backend: Any, prefix: str) -> Scan:
    from coatcheck.storage.backends.postgresql_statements import bigint, statement

    table = re.search(rb"FROM (\S+) ", backend._sql.get.text)
    assert table  # noqa: S101 - every read names its table
    asked = statement(
        f"SELECT key, record FROM {table[1].decode()} WHERE key > $1 AND starts_with(key, $2) "  # noqa: S608
        "ORDER BY key LIMIT $3",
        3,
    )
    last = ""
    while True:
        found = backend._ask("read", asked, (last.encode(), prefix.encode(), bigint(STEP)))
        if not found.ntuples:
            return
        last = found.get_value(found.ntuples - 1, 0).decode()
        rows = range(found.ntuples)
        keys = [found.get_value(row, 0).decode() for row in rows]
        yield Step(_share(last, prefix), [found.get_value(row, 1) for row in rows], keys)


def _redis(backend: RedisBackend, prefix: str) -> Scan:
    pattern = re.sub(r"([*?\[\]\\])", r"\\\1", prefix) + "*"
    total = max(_asked(backend, "DBSIZE"), 1)
    cursor, seen = 0, 0
    while True:
        cursor, keys = _asked(backend, "SCAN", cursor, "MATCH", pattern, "COUNT", STEP)
        values = _asked(backend, "MGET", *keys) if keys else []
        seen += STEP
        read = [(key, unmarked(data)) for key, data in zip(keys, values, strict=True) if data]
        records = [data for _, data in read]
        yield Step(min(seen / total, 1.0), records, [key.decode() for key, _ in read])
        if not int(cursor):
            return


def _asked(backend: RedisBackend, *command: object) -> Any:
    try:
        return backend._ask(*command)
    except backend._errors as error:
        raise BackendError(backend._server, "read") from error


def _share(key: str, prefix: str) -> float:
    """Return the share of all keys that come before this one: they are spread evenly."""
    digits = key.removeprefix(prefix)[:4]
    return int(digits, 16) / HEX if re.fullmatch("[0-9a-f]{4}", digits) else 0.0


_SCANS: dict[str, Callable[[Any, str], Scan]] = {
    "SqliteBackend": _sqlite,
    "FileBackend": _files,
    "SqlBackend": _sql,
    "PostgresqlBackend": _postgresql,
    "RedisBackend": _redis,
}

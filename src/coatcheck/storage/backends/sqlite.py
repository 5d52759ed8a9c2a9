"""
Sessions in an SQLite database: no server, several processes, one machine.

A read is one indexed SELECT, a write one conditional INSERT or UPDATE, each a transaction of its
own. The database is in WAL mode, so that readers wait for nobody and writers for one another alone,
and `synchronous` is NORMAL: a process that is killed loses nothing, a power cut may lose the last
writes, and neither harms the file (https://sqlite.org/wal.html).

The record itself is its version. The file is 0600, in a folder that is made 0700.
"""

import os
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

from coatcheck.errors import BackendError
from coatcheck.storage.backend import Refused, Stored
from coatcheck.storage.backends.inline import Busy, InlineBackend
from coatcheck.storage.clock import Clock, system_clock
from coatcheck.storage.keyed import AsyncKeyedStorage, KeyedStorage
from coatcheck.storage.sweeping import SWEEP_EVERY

CREATE = """
CREATE TABLE IF NOT EXISTS coatcheck_sessions (
    key TEXT PRIMARY KEY, record BLOB NOT NULL, expires REAL NOT NULL
) WITHOUT ROWID
"""
GET = "SELECT record FROM coatcheck_sessions WHERE key = ? AND expires > ?"
CLAIM = """
INSERT INTO coatcheck_sessions VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET record = excluded.record, expires = excluded.expires
WHERE coatcheck_sessions.expires <= ?
"""
REPLACE = """
UPDATE coatcheck_sessions SET record = ?, expires = ?
WHERE key = ? AND record = ? AND expires > ?
"""
DELETE = "DELETE FROM coatcheck_sessions WHERE key = ?"
AHEAD = """
SELECT max(key) FROM (SELECT key FROM coatcheck_sessions WHERE key > ? ORDER BY key LIMIT ?)
"""
SWEEP = "DELETE FROM coatcheck_sessions WHERE key > ? AND key <= ? AND expires <= ?"

PAUSE = 0.01
"""Seconds between two tries to open a database that another process is making."""

CACHE = 16_000
"""
KiB of the database that the connection of an event loop may keep in memory, read as they are
needed: 40,000 sessions of 200 bytes. With SQLite's 2,000, a request of one of 10,000 clients takes
23 µs instead of 19. Connections of threads keep SQLite's own: there may be many.
"""

WRITES_PER_CHECKPOINT = 1000
"""Writes in place between two that may move the log into the database."""

_ERRORS = (sqlite3.Error, OSError)

_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


_INHERITED: list[sqlite3.Connection] = []
"""
Connections that a parent had open at a fork. SQLite allows no process to use or close them but the
parent (https://sqlite.org/howtocorrupt.html, 2.6).
"""


class _Held:
    """The connection of one thread or greenlet: closed when that ends, and by `close`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._pid = os.getpid()
        self._closed = False

    @property
    def usable(self) -> bool:
        return not self._closed and self._pid == os.getpid()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._pid == os.getpid():
            self.connection.close()
        else:
            _INHERITED.append(self.connection)

    __del__ = close


class SqliteBackend:
    """
    A row a record. Each thread has a connection of its own.

    Args:
        path: The database; made if it is missing.
        timeout: Seconds to wait for another writer.
        clock: Seconds since 1970.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout: float, clock: Clock) -> None:
        self._path = Path(path)
        self._timeout = timeout
        self._clock = clock
        self._mine = threading.local()
        self._held: WeakSet[_Held] = WeakSet()
        self._swept_to = ""
        self.swept = 0.0

    def get(self, key: str) -> Stored | None:
        try:
            row = self._connection.execute(GET, (key, self._clock())).fetchone()
        except _ERRORS as error:
            raise _failed(error, "read") from error
        return Stored(row[0], version=row[0]) if row else None

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        now = self._clock()
        expires = now + ttl
        try:
            if version is None:
                done = self._connection.execute(CLAIM, (key, record, expires, now))
            else:
                done = self._connection.execute(REPLACE, (record, expires, key, version, now))
        except _ERRORS as error:
            raise _failed(error, "write") from error
        return None if done.rowcount else Refused(self.get(key))

    def delete(self, key: str) -> None:
        try:
            self._connection.execute(DELETE, (key,))
        except _ERRORS as error:
            raise _failed(error, "delete") from error

    def sweep(self, limit: int = 1000) -> int:
        """
        Remove the expired among the next *limit* records; return how many.

        Records are looked at in the order of their keys, which is no order in time, so that no
        write pays for an index on the deadline. A call goes on where the last one ended, and
        `swept` tells the share of the round that is done; 0 when it has come round.
        """
        start = self._swept_to
        try:
            (end,) = self._connection.execute(AHEAD, (start, limit)).fetchone()
            self._swept_to = end or ""
            self.swept = _share_up_to(self._swept_to)
            if end is None:
                return 0
            return self._connection.execute(SWEEP, (start, end, self._clock())).rowcount
        except _ERRORS as error:
            raise _failed(error, "sweep") from error

    def close(self) -> None:
        """Close every connection of this process."""
        for held in list(self._held):
            held.close()

    @property
    def _connection(self) -> sqlite3.Connection:
        held: _Held | None = getattr(self._mine, "held", None)
        if held is None or not held.usable:
            held = self._mine.held = _Held(self._opened())
            self._held.add(held)
        return held.connection

    def _opened(self) -> sqlite3.Connection:
        _make(self._path)
        connection = sqlite3.connect(
            self._path, timeout=self._timeout, isolation_level=None, check_same_thread=False
        )
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:
                # SQLite does not wait for this lock itself.
                if not _is_locked(error) or time.monotonic() >= deadline:
                    raise
                time.sleep(PAUSE)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(CREATE)


class ImpatientSqliteBackend(SqliteBackend):
    """
    A `SqliteBackend` that waits neither for a lock nor for the disk, and is `Busy` instead.

    SQLite waits for the disk when it moves its log into the database, after a write. So these
    connections never do, and now and then a write is left to those that may wait.
    """

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock) -> None:
        super().__init__(path, timeout=0, clock=clock)
        self._writes = 0

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        self._writes += 1
        if self._writes % WRITES_PER_CHECKPOINT == 0:
            raise Busy("SQLite", "write")
        return super().swap(key, version, record, ttl)

    def _set_up(self, connection: sqlite3.Connection) -> None:
        super()._set_up(connection)
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(f"PRAGMA cache_size = -{CACHE}")


def _make(path: Path) -> None:
    """
    Make the database's file, readable by its owner alone.

    One that is there is not opened: closing it again would drop the locks that SQLite holds on it
    for other threads (https://sqlite.org/howtocorrupt.html, 2.2).
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _share_up_to(key: str) -> float:
    """Return the share of all keys that a round has behind it: keys are digests."""
    try:
        return (int(key[:4], 16) + 1) / (16**4 + 1) if key else 0.0
    except ValueError:
        return 0.5


def _is_locked(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _LOCKED


def _failed(error: Exception, doing: str) -> BackendError:
    return (Busy if _is_locked(error) else BackendError)("SQLite", doing)


def SqliteStorage(
    path: str | os.PathLike[str],
    *,
    timeout: float = 5.0,
    sweep_every: int | None = SWEEP_EVERY,
    clock: Clock | None = None,
) -> KeyedStorage:
    """
    Return a storage in an SQLite database.

    Args:
        path: On a local disk; made if it is missing.
        timeout: Seconds to wait for another writer before a call fails.
        sweep_every: New sessions between two small sweeps; None: whoever runs it sweeps.
        clock: Seconds since 1970; None: the system's clock.

    Raises:
        BackendError: The database cannot be opened.
    """
    clock = clock or system_clock
    patient = SqliteBackend(path, timeout=timeout, clock=clock)
    impatient = ImpatientSqliteBackend(path, clock=clock)
    patient.get(
        ""
    )  # opens it, so that a path that cannot be used fails when the application starts
    backend = InlineBackend(impatient, patient)
    aio = AsyncKeyedStorage(backend, clock=clock, sweep_every=sweep_every, seldom_waits=True)
    return KeyedStorage(patient, clock=clock, aio=aio, sweep_every=sweep_every)

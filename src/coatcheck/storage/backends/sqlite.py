"""
Sessions in an SQLite database: no server, several processes, one machine.

A read is one indexed SELECT, a write one conditional INSERT or UPDATE, each a transaction of its
own. The database is in WAL mode, so that readers never wait and writers wait for one another alone,
and `synchronous` is NORMAL: a process that is killed loses nothing, a power cut may lose the last
writes, and neither harms the file (https://sqlite.org/wal.html).

The record itself is its version. The file is 0600, in a folder that is made 0700. If the file is
removed while it is in use, the next call that writes or finds nothing makes it again, and others
within a second: they compare the file at the path with the one that their connection opened.
"""

import os
import sqlite3
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

from coatcheck.errors import BackendError, ConfigurationError
from coatcheck.storage.arguments import Duration, path_of, seconds_of
from coatcheck.storage.backend import Refused, Stored
from coatcheck.storage.backends.inline import Busy, InlineBackend
from coatcheck.storage.backends.private_paths import (
    check,
    check_owner,
    check_parent,
    make_folder,
)
from coatcheck.storage.clock import TimeSource, system_clock
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

_ERRORS = (sqlite3.Error, OSError, ConfigurationError)

_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

BESIDE = ("-wal", "-shm", "-journal")
"""Ends of the names of the files that SQLite keeps beside a database."""


LOOKS_EVERY = 1.0
"""Seconds for which reads that find something do not look whether the file was replaced."""


class _Connection(sqlite3.Connection):
    """
    A connection that knows which file it opened, and when that was last looked at.

    It is closed when nothing refers to it any more, but not by a process that did not open it.
    """

    file: tuple[int, int] | None = None
    looked_at = 0.0
    pid = 0  # of the process that opened it; 0: none did

    def opened(self, path: Path) -> bool:
        """Tell whether its file is the one at *path*."""
        self.looked_at = time.monotonic()
        return self.file == _identity(path)

    def let_go(self) -> None:
        """Close it, or keep it for good where a parent opened it."""
        if self.pid == os.getpid():
            self.close()
        elif self.pid:
            _INHERITED.append(self)
        self.pid = 0

    __del__ = let_go


_INHERITED: list[sqlite3.Connection] = []
"""
Connections that a parent had open at a fork. SQLite allows no process to use or close them but the
parent (https://sqlite.org/howtocorrupt.html, 2.6).
"""


class _Held:
    """
    The connection of one thread or greenlet: closed when that ends, and by `close`.

    Another thread may close it, but not while it is used: SQLite would work on freed memory. Its
    thread first sets `is_busy`, and then reads `is_ended`; the closing thread first sets
    `is_ended`, and then reads `is_busy`. So one of the two sees the other, without a lock.
    """

    def __init__(self, connection: _Connection) -> None:
        self.connection = connection
        self.is_busy = self.is_ended = False

    @property
    def usable(self) -> bool:
        return self.connection.pid == os.getpid() and not self.is_ended

    def taken(self) -> bool:
        """Begin to use it, and tell whether it may be used: then `done` is to follow."""
        self.is_busy = True
        if self.is_ended:
            self.is_busy = False
        return self.is_busy

    def done(self) -> None:
        """Note that it is not used any more; close it if that was to be done meanwhile."""
        self.is_busy = False
        if self.is_ended:
            self.connection.let_go()

    def close(self) -> None:
        """Close it, or let the thread that uses it do so."""
        self.is_ended = True
        if not self.is_busy:
            self.connection.let_go()

    __del__ = close


def _row(held: _Held, statement: str, values: tuple[object, ...]) -> Any:
    """Return the first row of what a connection that was taken answers, or None."""
    try:
        return held.connection.execute(statement, values).fetchone()
    finally:
        held.done()


def _count(held: _Held, statement: str, values: tuple[object, ...]) -> int:
    """Return how many rows a statement changed, over a connection that was taken."""
    try:
        return held.connection.execute(statement, values).rowcount
    finally:
        held.done()


class SqliteBackend:
    """
    A row a record. Each thread has a connection of its own.

    Args:
        path: The database; made if it is missing.
        timeout: Seconds to wait for another writer.
        clock: Seconds since 1970.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout: float, clock: TimeSource) -> None:
        self._path = path_of("path", path)
        self._timeout = timeout
        self._clock = clock
        self._mine = threading.local()
        self._held: WeakSet[_Held] = WeakSet()
        self._swept_to = ""
        self.swept = 0.0

    def get(self, key: str) -> Stored | None:
        try:
            first = self._readable
            row = _row(first, GET, (key, self._clock()))
            if row is None:
                now = self._connection
                if now is first:
                    now.done()
                else:
                    row = _row(now, GET, (key, self._clock()))
        except _ERRORS as error:
            raise self._failed(error, "read") from error
        return Stored(row[0], version=row[0]) if row else None

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        now = self._clock()
        expires = now + ttl
        try:
            if version is None:
                done = _count(self._connection, CLAIM, (key, record, expires, now))
            else:
                done = _count(self._connection, REPLACE, (record, expires, key, version, now))
        except _ERRORS as error:
            raise self._failed(error, "write") from error
        return None if done else Refused(self.get(key))

    def delete(self, key: str) -> None:
        try:
            _count(self._connection, DELETE, (key,))
        except _ERRORS as error:
            raise self._failed(error, "delete") from error

    def sweep(self, limit: int = 1000) -> int:
        """
        Remove the expired among the next *limit* records; return how many.

        Records are looked at in the order of their keys, which is no order in time, so that no
        write pays for an index on the deadline. A call goes on where the last one ended, and
        `swept` tells the share of the round that is done; 0 when it has come round.
        """
        start = self._swept_to
        try:
            (end,) = _row(self._connection, AHEAD, (start, limit))
            self._swept_to = end or ""
            self.swept = _share_up_to(self._swept_to)
            if end is None:
                return 0
            return _count(self._connection, SWEEP, (start, end, self._clock()))
        except _ERRORS as error:
            raise self._failed(error, "sweep") from error

    def rows(self, statement: str, values: tuple[object, ...] = ()) -> list[Any]:
        """Return what a statement of a command answers."""
        held = self._connection
        try:
            return held.connection.execute(statement, values).fetchall()
        finally:
            held.done()

    def close(self) -> None:
        """Close every connection of this process; one that is used, after that."""
        for held in list(self._held):
            held.close()

    @property
    def _readable(self) -> _Held:
        """The connection of this thread, taken, whose file was at the path a moment ago."""
        held = self._held_here
        if (
            held is not None
            and time.monotonic() < held.connection.looked_at + LOOKS_EVERY
            and held.taken()
        ):
            return held
        return self._connection

    @property
    def _connection(self) -> _Held:
        """The connection of this thread, taken, whose file is at the path."""
        held = self._held_here
        if held is not None and not held.connection.opened(self._path):
            # SQLite leaves the files alone that are at the path now, also when it closes this one.
            held.close()
            held = None
        while held is None or not held.taken():
            try:
                held = self._mine.held = _Held(self._opened())
            except _ERRORS as error:
                raise self._failed(error, "open") from error
            self._held.add(held)
        return held

    @property
    def _held_here(self) -> _Held | None:
        """The connections that this thread opened in this process, and has not closed."""
        held: _Held | None = getattr(self._mine, "held", None)
        return held if held is not None and held.usable else None

    def _opened(self) -> _Connection:
        make_folder(self._path.parent)
        check_owner(self._path.parent, follow=True)
        _make(self._path)
        for path in _files_of(self._path):
            check_owner(path, follow=path == self._path)
        file = _identity(self._path)
        connection = sqlite3.connect(
            self._path,
            timeout=self._timeout,
            isolation_level=None,
            check_same_thread=False,
            factory=_Connection,
        )
        connection.file, connection.pid = file, os.getpid()
        try:
            self._set_up(connection)
        except BaseException:
            connection.let_go()
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

    def _failed(self, error: Exception, doing: str) -> BackendError:
        """Return the error to raise: it names the database and the reason."""
        reason = getattr(error, "strerror", None) or str(error)
        kind = Busy if _is_locked(error) else BackendError
        return kind("SQLite", doing, f"{self._path}: {reason}")


class ImpatientSqliteBackend(SqliteBackend):
    """
    A `SqliteBackend` that waits neither for a lock nor for the disk, and is `Busy` instead.

    SQLite waits for the disk when it moves its log into the database, after a write. So these
    connections never do, and now and then a write is left to those that may wait.
    """

    def __init__(self, path: str | os.PathLike[str], *, clock: TimeSource) -> None:
        super().__init__(path, timeout=0, clock=clock)
        self._writes = 0

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        self._writes += 1
        if self._writes % WRITES_PER_CHECKPOINT == 0:
            raise Busy("SQLite", "write", "its log is to be moved into the database")
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
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from any other; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - every call asks, and Path.stat takes longer
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _files_of(path: Path) -> list[Path]:
    """Return the database and the files beside it. SQLite follows a link to the database."""
    real = path.resolve()
    return [path, *(real.with_name(real.name + end) for end in BESIDE)]


def check_database(path: Path) -> None:
    """
    Check a database that is there already, its folder, and the files beside it.

    Raises:
        ConfigurationError: One of them belongs to another user, or is a symbolic link in place of a
            file beside the database.
    """
    check_parent(path)
    for each in _files_of(path):
        check(each, follow=each == path)


def holds_sessions(path: Path) -> bool:
    """Tell whether there is a database of sessions at a path; nothing is made."""
    if not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            asked = "SELECT 1 FROM sqlite_master WHERE name = 'coatcheck_sessions'"
            return connection.execute(asked).fetchone() is not None
    except sqlite3.Error:
        return False


def _share_up_to(key: str) -> float:
    """Return the share of all keys that a round has behind it: keys are digests."""
    try:
        return (int(key[:4], 16) + 1) / (16**4 + 1) if key else 0.0
    except ValueError:
        return 0.5


def _is_locked(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _LOCKED


def SqliteStorage(
    path: str | os.PathLike[str],
    *,
    timeout: Duration = 5.0,
    sweep_every: int | None = SWEEP_EVERY,
    clock: TimeSource | None = None,
    encrypt: bool = False,
) -> KeyedStorage:
    """
    Return a storage in an SQLite database.

    Args:
        path: On a local disk; made if it is missing.
        timeout: How long to wait for another writer before a call fails.
        sweep_every: New sessions between two small sweeps; None: the application sweeps.
        clock: Seconds since 1970; None: the system's clock.
        encrypt: Encrypt what a session holds, with a key made from its id, which the database never
            sees (extra `coatcheck[encrypt]`).

    Raises:
        ConfigurationError: An argument is of another kind, or *path* is ":memory:"; or the
            database, or a file beside it, was there already and belongs to another user.
        BackendError: The database cannot be opened.

    Warns:
        CoatcheckWarning: Other users may write to the database or to its folder.
    """
    if ":memory:" in str(path):
        raise ConfigurationError(
            "path must be a file, got :memory:, which each thread would have to itself: use "
            "MemoryStorage() or the URL memory:"
        )
    clock = clock or system_clock
    check_database(path_of("path", path))
    timeout = seconds_of("timeout", timeout)
    patient = SqliteBackend(path, timeout=timeout, clock=clock)
    impatient = ImpatientSqliteBackend(path, clock=clock)
    patient.get("")  # opens it: a path that cannot be used fails when the application starts
    backend = InlineBackend(impatient, patient)
    aio = AsyncKeyedStorage(
        backend, clock=clock, sweep_every=sweep_every, seldom_waits=True, encrypt=encrypt
    )
    return KeyedStorage(patient, clock=clock, aio=aio, sweep_every=sweep_every, encrypt=encrypt)

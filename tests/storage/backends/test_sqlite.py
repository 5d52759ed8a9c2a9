"""The backend in SQLite."""

import asyncio
import gc
import multiprocessing
import os
import sqlite3
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coatcheck.errors import BackendError
from coatcheck.storage import SqliteStorage
from coatcheck.storage.backends.inline import Busy
from coatcheck.storage.backends.sqlite import (
    GET,
    WRITES_PER_CHECKPOINT,
    ImpatientSqliteBackend,
    SqliteBackend,
)
from coatcheck.storage.clock import system_clock
from coatcheck.testing import BackendContract, Clock
from coatcheck.testing.backend_contract import HOUR, Make, new_key
from tests.processes import CONTEXT


class TestSqliteBackend(BackendContract):
    """Every rule of a backend."""

    @pytest.fixture
    def make(self, tmp_path: Path) -> Iterator[Make]:
        backend = SqliteBackend(tmp_path / "db", timeout=10, clock=system_clock)
        yield lambda: backend
        backend.close()


@pytest.fixture
def backend(tmp_path: Path, clock: Clock) -> Iterator[SqliteBackend]:
    backend = SqliteBackend(tmp_path / "data" / "db", timeout=5, clock=clock)
    yield backend
    backend.close()


@pytest.fixture
def impatient(tmp_path: Path, clock: Clock) -> Iterator[ImpatientSqliteBackend]:
    backend = ImpatientSqliteBackend(tmp_path / "data" / "db", clock=clock)
    yield backend
    backend.close()


def test_only_the_owner_can_read(backend: SqliteBackend, tmp_path: Path) -> None:
    """The database and its log are 0600 in a folder of 0700, whatever the umask allows."""
    before = os.umask(0)
    try:
        backend.swap(new_key(), None, b"secret", HOUR)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    files = list((tmp_path / "data").iterdir())
    assert {path.name for path in files} == {"db", "db-wal", "db-shm"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_read_uses_the_index(backend: SqliteBackend, tmp_path: Path) -> None:
    """A read searches the primary key, and the table has no row beside it."""
    backend.get("")
    with sqlite3.connect(tmp_path / "data" / "db") as other:
        plan = other.execute(f"EXPLAIN QUERY PLAN {GET}", ("", 0)).fetchone()
    other.close()
    assert plan[3] == "SEARCH coatcheck_sessions USING PRIMARY KEY (key=?)"


def test_what_is_no_database_is_a_backend_error(tmp_path: Path) -> None:
    """A file that holds something else is left alone, and told of when the storage is made."""
    (tmp_path / "db").write_text("This is a letter, and not a database. " * 10)
    with pytest.raises(BackendError, match="SQLite failed to open") as raised:
        SqliteStorage(tmp_path / "db")
    assert isinstance(raised.value.__cause__, sqlite3.DatabaseError)
    assert (tmp_path / "db").read_text().startswith("This is a letter")


def test_a_folder_that_cannot_be_made_is_a_backend_error(tmp_path: Path) -> None:
    """What the system refuses is a BackendError with the system's error as its cause."""
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(BackendError) as raised:
        SqliteStorage(tmp_path / "file" / "db")
    assert isinstance(raised.value.__cause__, OSError)


def test_an_impatient_writer_is_busy_at_once(
    backend: SqliteBackend, impatient: ImpatientSqliteBackend, tmp_path: Path
) -> None:
    """While another connection writes, it waits for nothing; reads go on."""
    key = new_key()
    backend.swap(key, None, b"one", HOUR)
    impatient.get(key)
    other = sqlite3.connect(tmp_path / "data" / "db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy):
        impatient.swap(key, b"one", b"two", HOUR)
    with pytest.raises(Busy):
        impatient.swap(new_key(), None, b"two", HOUR)
    with pytest.raises(Busy):
        impatient.delete(key)
    found = impatient.get(key)
    assert found and found.record == b"one"
    other.execute("ROLLBACK")
    other.close()
    assert impatient.swap(key, b"one", b"two", HOUR) is None


def test_a_patient_writer_waits_for_the_lock(backend: SqliteBackend, tmp_path: Path) -> None:
    """It goes on when the other one is done, and gives up after its timeout."""
    key = new_key()
    backend.swap(key, None, b"one", HOUR)
    other = sqlite3.connect(tmp_path / "data" / "db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.1, lambda: other.execute("ROLLBACK"))
    release.start()
    assert backend.swap(key, b"one", b"two", HOUR) is None
    release.join()
    other.execute("BEGIN IMMEDIATE")
    short = SqliteBackend(tmp_path / "data" / "db", timeout=0.05, clock=system_clock)
    with pytest.raises(Busy):
        short.delete(key)
    short.close()
    other.close()


def test_an_impatient_writer_leaves_the_log_to_those_that_wait(
    impatient: ImpatientSqliteBackend,
) -> None:
    """Now and then it refuses a write, so that one that may wait moves the log along."""
    refused = 0
    for _ in range(2 * WRITES_PER_CHECKPOINT):
        try:
            impatient.swap(new_key(), None, b"one", HOUR)
        except Busy:
            refused += 1
    assert refused == 2


def test_the_log_does_not_grow_without_end(tmp_path: Path) -> None:
    """Under an application that writes in place, the log is moved into the database."""
    storage = SqliteStorage(tmp_path / "db").aio
    assert storage
    backend = storage.backend

    async def scenario() -> int:
        for _ in range(8 * WRITES_PER_CHECKPOINT):
            await backend.swap(new_key(), None, b"x" * 4000, HOUR)
        size = (tmp_path / "db-wal").stat().st_size
        await storage.close()
        return size

    pages_a_write = 4
    assert asyncio.run(scenario()) < 2 * WRITES_PER_CHECKPOINT * pages_a_write * 4120


def test_a_sweep_removes_what_expired(backend: SqliteBackend, clock: Clock) -> None:
    """Expired records go, the others stay, and the sweep says how many went."""
    for _ in range(5):
        backend.swap(new_key(), None, b"short", 10)
    kept = new_key()
    backend.swap(kept, None, b"long", HOUR)
    clock.advance(11)
    assert backend.sweep() == 5
    assert backend.get(kept) is not None


def test_a_sweep_is_bounded_and_goes_on_where_it_ended(
    backend: SqliteBackend, clock: Clock
) -> None:
    """Each call looks at so many records, and `swept` tells how far the round is."""
    for _ in range(250):
        backend.swap(new_key(), None, b"short", 10)
    clock.advance(11)
    shares = [backend.swept]
    removed = []
    for _ in range(4):
        removed.append(backend.sweep(limit=100))
        shares.append(backend.swept)
    assert removed == [100, 100, 50, 0]
    assert shares[0] == 0 < shares[1] < shares[2] < shares[3] <= 1
    assert shares[4] == 0


def test_keys_that_are_no_digests_are_swept_too(backend: SqliteBackend, clock: Clock) -> None:
    """The share is a guess then, and the round ends all the same."""
    backend.swap("session:1", None, b"short", 10)
    clock.advance(11)
    assert backend.sweep() == 1
    assert backend.swept == 0.5
    assert backend.sweep() == 0
    assert backend.swept == 0


def test_an_expired_record_is_absent_before_it_is_swept(
    backend: SqliteBackend, clock: Clock
) -> None:
    """It can be claimed, and not replaced."""
    key = new_key()
    backend.swap(key, None, b"one", 10)
    clock.advance(11)
    assert backend.get(key) is None
    refused = backend.swap(key, b"one", b"two", HOUR)
    assert refused and refused.stored is None
    assert backend.swap(key, None, b"two", HOUR) is None


def test_a_closed_backend_opens_again(backend: SqliteBackend) -> None:
    """There is no end: what is used again is opened again."""
    key = new_key()
    backend.swap(key, None, b"one", HOUR)
    backend.close()
    assert backend.get(key) is not None


def read_in_child(storage: object, value: str, answers: object) -> None:
    answers.put(storage.read(value)["user"])  # type: ignore[attr-defined]
    storage.close()  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_backend_that_nobody_closed_closes_its_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it goes in a circle of references, whose parts end in any order."""
    seen: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    backend = SqliteBackend(tmp_path / "circle.db", timeout=1, clock=system_clock)
    backend.get("a key")
    backend.circle = backend  # type: ignore[attr-defined]
    del backend
    gc.collect()
    assert seen == []


def test_a_storage_that_was_made_before_a_fork_works_after_it(tmp_path: Path) -> None:
    """A child opens connections of its own, and leaves the parent's alone."""
    storage = SqliteStorage(tmp_path / "db")
    session = storage.read(None)
    session["user"] = 1
    value = storage.save(session)
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    child = fork.Process(target=read_in_child, args=(storage, value, answers))
    child.start()
    assert answers.get(timeout=30) == 1
    child.join()
    session = storage.read(value)
    session["user"] = 2
    storage.save(session)
    assert storage.read(value)["user"] == 2
    storage.close()


def open_together(path: str, start: object) -> None:
    start.wait(30)  # type: ignore[attr-defined]
    storage = SqliteStorage(path)
    storage.close()


def test_processes_that_make_the_database_together_all_succeed(tmp_path: Path) -> None:
    """Each finds the database made, by itself or by another."""
    start = CONTEXT.Barrier(6)
    children = [
        CONTEXT.Process(target=open_together, args=(str(tmp_path / "db"), start)) for _ in range(6)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 6


def test_a_connection_that_is_used_is_closed_after_that(backend: SqliteBackend) -> None:
    """By the thread that uses it: SQLite would go on in memory that is free, and crash."""
    backend.swap("a", None, b"1", 10)
    used = backend._connection
    closing = threading.Thread(target=backend.close)
    closing.start()
    closing.join()
    assert used.connection.execute("SELECT 1").fetchone() == (1,)
    used.done()
    with pytest.raises(sqlite3.ProgrammingError):
        used.connection.execute("SELECT 1")
    assert backend.get("a")
    assert not used.taken()


def test_threads_go_on_while_another_one_closes(backend: SqliteBackend) -> None:
    """Each opens a connection again, and no call fails."""
    backend.swap("a", None, b"1", 10)
    ends, failed = threading.Event(), list[Exception]()

    def work() -> None:
        while not ends.is_set():
            try:
                assert backend.get("a")
                backend.swap("a", b"1", b"1", 10)
            except Exception as error:
                failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        backend.close()
    ends.set()
    for thread in threads:
        thread.join()
    assert failed == []

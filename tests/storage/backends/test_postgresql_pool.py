"""Connections to a PostgreSQL: for threads, and on an event loop."""

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from coatcheck.errors import BackendError
from coatcheck.storage.backends.postgresql_errors import error_of, kind_of
from coatcheck.storage.backends.postgresql_pool import PostgresqlPool
from coatcheck.storage.backends.postgresql_statements import Statement, array, statement
from coatcheck.storage.backends.sql_codes import Deadlock, Demoted, Lost, Rejected, Stale
from coatcheck.testing.backend_contract import HOUR, new_key
from tests.servers import wait_until
from tests.storage.backends.postgresql_backends import (
    administrator_at,
    awaited,
    place_at,
    plain,
)

SLEEP = statement("SELECT pg_sleep(0.2)", 0)
LOCK = statement("SELECT pg_advisory_xact_lock_shared(77)", 0)
ONE = statement("SELECT 1", 0)


@contextmanager
def pool_at(url: str, **more: Any) -> Iterator[PostgresqlPool]:
    pool = PostgresqlPool(place_at(url, **more))
    try:
        yield pool
    finally:
        pool.close()


@contextmanager
def held(url: str) -> Iterator[None]:
    """Let every `LOCK` wait while the block runs."""
    with administrator_at(url) as connection:
        connection.execute("SELECT pg_advisory_lock(77)")
        yield
        connection.execute("SELECT pg_advisory_unlock(77)")


def asked_for_lock(url: str) -> None:
    """Wait until a `LOCK` waits in the server."""
    asked = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with administrator_at(url) as connection:
        wait_until(lambda: bool(connection.execute(asked).fetchall()))


def is_waiting(pool: PostgresqlPool, count: int) -> None:
    wait_until(lambda: len(pool._waiting) == count)


def test_threads_get_connections_in_the_order_in_which_they_came(postgresql_url: str) -> None:
    """A thread that gives a connection back does not take it again before the others."""
    with pool_at(postgresql_url, size=1) as pool:
        came: list[int] = []

        def ask(number: int, what: Statement) -> None:
            pool.run("read", what, ())
            came.append(number)

        with held(postgresql_url), ThreadPoolExecutor(8) as threads:
            first = threads.submit(ask, 0, LOCK)
            asked_for_lock(postgresql_url)
            calls = []
            for number in range(1, 6):
                calls.append(threads.submit(ask, number, ONE))
                is_waiting(pool, number)
            with administrator_at(postgresql_url) as other:
                told = (
                    "SELECT pg_cancel_backend(pid) FROM pg_locks "
                    "WHERE locktype = 'advisory' AND NOT granted"
                )
                other.execute(told)
            with pytest.raises(Rejected):
                first.result(10)
            for call in calls:
                call.result(10)
        assert came == [1, 2, 3, 4, 5]


def test_a_thread_waits_so_long_for_a_connection(postgresql_url: str) -> None:
    """Then it is an error; the connection that is in use goes on."""
    with pool_at(postgresql_url, size=1) as pool, ThreadPoolExecutor(1) as threads:
        with held(postgresql_url):
            slow = threads.submit(pool.run, "read", LOCK, ())
            asked_for_lock(postgresql_url)
            pool.place = place_at(postgresql_url, size=1, timeout=0.01)
            with pytest.raises(BackendError) as raised:
                pool.run("read", ONE, ())
            assert isinstance(raised.value.__cause__, TimeoutError)
        assert slow.result(10).status == psycopg.pq.ExecStatus.TUPLES_OK
        pool.place = place_at(postgresql_url, size=1)
        pool.run("read", ONE, ())


def test_a_thread_whose_connection_broke_makes_room_for_the_next(postgresql_url: str) -> None:
    """The one that waited makes a connection of its own."""
    with pool_at(postgresql_url, size=1, timeout=0.5) as pool, ThreadPoolExecutor(2) as threads:
        pool.run("read", ONE, ())
        with held(postgresql_url):
            late = threads.submit(pool.run, "read", LOCK, ())
            asked_for_lock(postgresql_url)
            pool.place = place_at(postgresql_url, size=1)
            following = threads.submit(pool.run, "read", ONE, ())
            with pytest.raises(BackendError) as raised:
                late.result(10)
            assert isinstance(raised.value.__cause__, TimeoutError)
            assert following.result(10)
        assert pool._count == 1


def test_a_server_that_is_gone_is_tried_again_after_a_pause() -> None:
    """Each attempt is an error; pauses grow, and the place is given back."""
    with pool_at("postgresql://user@127.0.0.1:1/none", size=1) as pool:
        pauses = []
        for _ in range(3):
            with pytest.raises(BackendError, match=r"postgresql at 127\.0\.0\.1:1"):
                pool.run("read", ONE, ())
            pauses.append(pool._pause)
        assert pauses == sorted(pauses)
        assert pauses[0] > 0
        assert pool._count == 0


def test_dropped_connections_are_not_used_again(postgresql_url: str) -> None:
    """One that is in use is closed after its call."""
    with pool_at(postgresql_url, size=2) as pool, ThreadPoolExecutor(1) as threads:
        with held(postgresql_url):
            slow = threads.submit(pool.run, "read", LOCK, ())
            asked_for_lock(postgresql_url)
            pool.run("read", ONE, ())
            assert len(pool._idle) == 1
            pool.drop()
        slow.result(10)
        assert (pool._count, pool._idle) == (0, [])


def test_a_child_process_opens_connections_of_its_own(postgresql_url: str) -> None:
    """`storage_from_url` makes one pool for each process: see per_process."""
    from coatcheck.storage import KeyedStorage, storage_from_url

    storage = storage_from_url(postgresql_url)
    assert isinstance(storage, KeyedStorage)
    session = storage.read(None)
    session["n"] = 1
    value = storage.save(session)
    child = os.fork()
    if not child:
        found = storage.read(value).get("n")
        storage.close()
        os._exit(0 if found == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert storage.read(value)["n"] == 1
    storage.close()


@pytest.mark.parametrize("form", ["awaited", "plain"])
def test_records_larger_than_a_socket_takes_at_once(postgresql_url: str, form: str) -> None:
    """What is left is sent when the socket can be written again."""
    key, record = new_key(), os.urandom(8_000_000)

    async def scene() -> None:
        async with awaited(postgresql_url, timeout=30) as backend:
            assert await backend.swap(key, None, record, HOUR) is None
            found = await backend.get(key)
            assert found and found.record == record

    if form == "awaited":
        asyncio.run(scene())
        return
    with plain(postgresql_url, timeout=30) as backend:
        assert backend.swap(key, None, record, HOUR) is None
        found = backend.get(key)
        assert found and found.record == record


def test_a_connection_that_ends_while_it_is_idle_costs_no_call(postgresql_url: str) -> None:
    """The loop hears of it at once; a new one is made for the next call."""

    async def scene() -> None:
        async with awaited(postgresql_url, size=1) as backend:
            pool: Any = backend._pool
            (connection,) = pool._idle
            pid = connection._pg.backend_pid
            with administrator_at(postgresql_url) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [pid])
            await asyncio.to_thread(wait_until, lambda: not pool._idle)
            assert await backend.get(new_key()) is None

    asyncio.run(scene())


@pytest.mark.parametrize("together", [1, 2])
def test_a_question_that_cannot_be_sent_goes_over_another_connection(
    postgresql_url: str, together: int
) -> None:
    """The connection broke since its last answer: no request fails."""

    async def scene() -> None:
        async with awaited(postgresql_url, size=1) as backend:
            pool: Any = backend._pool
            await backend.get(new_key())
            (broken,) = pool._idle
            broken._pg.finish()
            keys = [new_key() for _ in range(together)]
            assert await asyncio.gather(*map(backend.get, keys)) == [None] * together
            assert pool._all
            assert broken not in pool._all

    asyncio.run(scene())


def test_a_request_that_is_cancelled_leaves_its_connection_for_the_next(
    postgresql_url: str,
) -> None:
    """It is free when the answer has come, and the answer is nobody's."""

    async def scene() -> None:
        async with awaited(postgresql_url, size=1) as backend:
            pool: Any = backend._pool
            call = asyncio.ensure_future(pool.run("read", SLEEP, ()))
            await asyncio.sleep(0.05)
            call.cancel()
            assert await backend.get(new_key()) is None
            assert len(pool._all) == 1

    asyncio.run(scene())


def test_errors_are_told_apart_by_their_codes() -> None:
    """By what can be done about them."""
    kinds = {
        "40P01": Deadlock,
        "40001": Deadlock,
        "25006": Demoted,
        "0A000": Stale,
        "57P01": Lost,
        "08006": Lost,
        "": Lost,
        "23514": Rejected,
        "26000": Rejected,
    }
    assert {code: kind_of(code) for code in kinds} == kinds


class Result:
    """A result of libpq that is an error of a code that psycopg does not know."""

    def error_field(self, field: psycopg.pq.DiagnosticField) -> bytes | None:
        is_code = field == psycopg.pq.DiagnosticField.SQLSTATE
        return b"XYZ99" if is_code else None


def test_an_error_of_an_unknown_code_has_a_cause_too() -> None:
    """Its class is psycopg's OperationalError."""
    error = error_of(Result(), "here", "read")  # type: ignore[arg-type]
    assert isinstance(error.__cause__, psycopg.OperationalError)


def test_an_array_holds_what_is_there_and_what_is_not() -> None:
    """A length before each value; -1 stands for NULL."""
    assert array(20, [b"ab", None]).endswith(b"\0\0\0\2ab\xff\xff\xff\xff")


def test_calls_of_many_threads_all_get_their_own_answer(postgresql_url: str) -> None:
    """Over fewer connections than threads."""
    with plain(postgresql_url, size=3) as backend:
        keys = [new_key() for _ in range(12)]
        for key in keys:
            backend.swap(key, None, key.encode(), HOUR)
        wrong: list[str] = []

        def ask(key: str) -> None:
            for _ in range(50):
                found = backend.get(key)
                if not found or found.record != key.encode():
                    wrong.append(key)

        threads = [threading.Thread(target=ask, args=(key,)) for key in keys]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []

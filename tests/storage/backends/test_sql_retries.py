"""Statements that an SQL backend sends twice, and sweeps that count nothing first."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, event

from coatcheck import BackendError
from coatcheck.storage import SqlStorage
from coatcheck.storage.backends.sql_backend import SqlBackend
from coatcheck.storage.backends.sql_codes import Lost
from coatcheck.storage.backends.sql_rounds import COUNTED, LATEST, Round
from coatcheck.testing import Clock
from coatcheck.testing.backend_contract import HOUR, new_key
from tests.engines import plain_engine


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    kind = request.param
    url = f"sqlite:///{tmp_path}/db" if kind == "sqlite" else f"{kind}_url"
    with plain_engine(url if kind == "sqlite" else request.getfixturevalue(url)) as opened:
        yield opened


@pytest.fixture
def backend(engine: Engine, clock: Clock) -> Iterator[SqlBackend]:
    storage = SqlStorage(engine, table=f"test_{uuid4().hex[:8]}", clock=clock)
    storage.create_table()
    yield storage.backend
    storage.backend._table.drop(engine)


def lose_the_answer(
    backend: SqlBackend, monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]
) -> None:
    """Let the next statement be done, its answer be lost, and something happen after it."""
    run = backend._run
    left = [1]

    def losing(*arguments: Any) -> Any:
        answer = run(*arguments)
        if left:
            left.clear()
            then()
            raise Lost("test", "write")
        return answer

    monkeypatch.setattr(backend, "_run", losing)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_write_whose_answer_was_lost_is_known_by_its_version(
    backend: SqlBackend, monkeypatch: pytest.MonkeyPatch, *, is_new: bool
) -> None:
    """It is sent again, is refused by what it wrote itself, and counts as done."""
    key = new_key()
    if not is_new:
        backend.swap(key, None, b"one", HOUR)
    stored = backend.get(key)
    lose_the_answer(backend, monkeypatch, lambda: None)
    assert backend.swap(key, stored and stored.version, b"two", HOUR) is None
    found = backend.get(key)
    assert found and found.record == b"two"


def test_a_write_whose_answer_was_lost_is_an_error_if_another_came_after_it(
    backend: SqlBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one may have built on it. So it is not replayed: no step counts twice."""
    key = new_key()
    backend.swap(key, None, b"one", HOUR)
    stored = backend.get(key)

    def another() -> None:
        ours = backend.get(key)
        assert ours and backend.swap(key, ours.version, b"three", HOUR) is None

    lose_the_answer(backend, monkeypatch, another)
    with pytest.raises(Lost):
        backend.swap(key, stored and stored.version, b"two", HOUR)
    found = backend.get(key)
    assert found and found.record == b"three"


def test_reads_and_deletions_are_sent_again(
    backend: SqlBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To do them twice is to do them once."""
    key = new_key()
    backend.swap(key, None, b"one", HOUR)
    lose_the_answer(backend, monkeypatch, lambda: None)
    assert backend.get(key)
    lose_the_answer(backend, monkeypatch, lambda: None)
    backend.delete(key)
    assert backend.get(key) is None


@pytest.mark.parametrize("ttl", [1e30, float("inf")])
def test_a_deadline_that_no_database_holds_is_capped(backend: SqlBackend, ttl: float) -> None:
    """MariaDB has no infinity; the year 9999 is late enough."""
    key = new_key()
    assert backend.swap(key, None, b"one", ttl) is None
    assert backend.get(key)
    with backend.engine.connect() as connection:
        (found,) = connection.execute(backend._table.select()).all()
    assert found.expires == LATEST


def expire(backend: SqlBackend, clock: Clock, count: int) -> None:
    for _ in range(count):
        backend.swap(new_key(), None, b"short", 10)
    clock.advance(11)


def test_a_sweep_removes_before_it_counts(backend: SqlBackend, clock: Clock) -> None:
    """So a backlog that takes long to count goes all the same."""
    expire(backend, clock, 7)
    sent: list[str] = []

    @event.listens_for(backend.engine, "before_cursor_execute")
    def note(_: object, __: object, statement: str, *___: object) -> None:
        sent.append(statement.split(maxsplit=1)[0])

    assert [backend.sweep(5), backend.sweep(5)] == [5, 2]
    assert sent == ["DELETE", "SELECT", "DELETE"]


def test_a_count_that_fails_fails_no_sweep(
    backend: SqlBackend, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records are gone, and only the progress of the round is unknown."""
    expire(backend, clock, 7)
    run = backend._run

    def failing(doing: str, statement: Any, values: Any) -> Any:
        if "count" in str(statement):
            raise BackendError("test", "count")
        return run(doing, statement, values)

    monkeypatch.setattr(backend, "_run", failing)
    assert backend.sweep(5) == 5
    assert 0 < backend.swept <= 1


def test_a_round_of_any_length_counts_little_and_never_goes_back() -> None:
    """What is left is counted up to a limit: seldom while it is more, then no more."""
    backlog, round, counts, shares = 1_000_000, Round(), 0, [0.0]
    while backlog:
        removed = min(backlog, 1000)
        backlog -= removed
        round.note(removed, 1000)
        if round.wants_count:
            counts += 1
            round.count(min(backlog, COUNTED * 1000), 1000)
        shares.append(round.share)
    assert counts < 15
    assert shares == sorted(shares)
    assert shares[1] > 0
    round.note(0, 1000)
    assert round.share == 0

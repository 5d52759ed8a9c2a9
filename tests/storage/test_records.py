"""Sessions as records in a backend, plain and awaited: what is asked, and what is made of it."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from coatcheck import BackendError, Session
from coatcheck._session.ids import key_of, new_id
from coatcheck._session.moves import ROTATES
from coatcheck._session.plan import Beside, Get, GetMany, Keyspace, WarnOfEviction
from coatcheck._session.record import Tombstone, unpack
from coatcheck.storage import Refused, Stored
from coatcheck.storage.async_records import AsyncRecords
from coatcheck.storage.backend import AskAlone
from coatcheck.storage.records import Records
from coatcheck.testing import Clock

IDLE = 14 * 24 * 3600


class Table:
    """A backend in a dict, which notes what it is asked."""

    def __init__(self) -> None:
        self.records: dict[str, Stored] = {}
        self.asked: list[tuple[Any, ...]] = []
        self.fails = False

    def get(self, key: str) -> Stored | None:
        self.asked.append(("get", key))
        return self.records.get(key)

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        self.asked.append(("swap", key, ttl))
        there = self.records.get(key)
        if version != (there.version if there else None):
            return Refused(there)
        self.records[key] = Stored(record, record)
        return None

    def delete(self, key: str) -> None:
        self.asked.append(("delete", key))
        self.records.pop(key, None)


class Swept(Table):
    """A backend whose expired records stay until they are removed."""

    swept = 0.5
    closed = False

    def sweep(self, limit: int) -> int:
        self.asked.append(("sweep", limit))
        if self.fails:
            raise BackendError("the server", "sweep")
        return 3

    def close(self) -> None:
        self.closed = True


class AwaitedTable:
    """A `Table` whose methods are awaited."""

    def __init__(self, table: Table) -> None:
        self.table = table

    async def get(self, key: str) -> Stored | None:
        return self.table.get(key)

    async def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        return self.table.swap(key, version, record, ttl)

    async def delete(self, key: str) -> None:
        self.table.delete(key)


class Batch(Table):
    """A backend that reads several keys in one round trip, unless it is told to ask alone."""

    def get_many(self, keys: Sequence[str]) -> Mapping[str, Stored]:
        self.asked.append(("get_many", *keys))
        if self.fails:
            raise AskAlone("the server", "read")
        return {key: self.records[key] for key in keys if key in self.records}


class AwaitedBatch(AwaitedTable):
    """A `Batch` whose methods are awaited."""

    table: Batch

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, Stored]:
        return self.table.get_many(keys)


class AwaitedSwept(AwaitedTable):
    """A `Swept` whose methods are awaited."""

    table: Swept
    swept = 0.5

    async def sweep(self, limit: int) -> int:
        return self.table.sweep(limit)

    async def close(self) -> None:
        self.table.close()


class Awaited:
    """`AsyncRecords` in an event loop, its methods plain."""

    def __init__(self, records: AsyncRecords, runner: asyncio.Runner) -> None:
        self._records, self._runner = records, runner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._records, name)
        return lambda *args: self._runner.run(method(*args))


Make = Callable[..., Any]


@pytest.fixture(params=["plain", "awaited"])
def records_of(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Make]:
    """Make either form over a `Table`."""
    space = Keyspace(clock, "shop:", "the server")

    def plain(table: Any, sweep_every: int | None = None) -> Any:
        return Records(table, space, sweep_every)

    if request.param == "plain":
        yield plain
        return
    with asyncio.Runner() as runner:

        def awaited(table: Table, sweep_every: int | None = None) -> Any:
            kinds = {Swept: AwaitedSwept, Batch: AwaitedBatch, Evicting: AwaitedEvicting}
            backend = kinds.get(type(table), AwaitedTable)(table)
            return Awaited(AsyncRecords(backend, space, sweep_every), runner)

        yield awaited


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def records(records_of: Make, table: Table) -> Any:
    return records_of(table)


def session_of(**values: object) -> Session:
    session = Session()
    session.update(values)
    return session


def stored(records: Any, **values: object) -> str:
    """Return the id of a session that holds *values*."""
    id: str = records.save(session_of(**values))
    return id


def test_a_session_comes_back(records: Any, table: Table) -> None:
    """The id goes to the client; the backend sees its SHA-256 behind the prefix, and a ttl."""
    id = stored(records, user=1)
    assert records.read(id)["user"] == 1
    assert [call[:2] for call in table.asked] == [
        ("swap", key_of(id, "shop:")),
        ("get", key_of(id, "shop:")),
    ]
    assert id not in str(table.records)
    assert table.asked[0][2] > IDLE


@pytest.mark.parametrize("fails", [None, False, True])
def test_several_keys_are_asked_together(records_of: Make, fails: bool | None) -> None:
    """In one round trip where the backend can, else one after another."""
    table = Table() if fails is None else Batch()
    table.fails = bool(fails)
    table.records = {"a": Stored(b"a", 1), "b": Stored(b"b", 2)}
    found = records_of(table)._ask(GetMany(("a", "b", "c")))
    assert found == table.records
    together, alone = ("get_many", "a", "b", "c"), [("get", key) for key in "abc"]
    assert table.asked == {None: alone, False: [together], True: [together, *alone]}[fails]


class Evicting(Table):
    """A backend whose server may drop records."""

    def evicts(self) -> str:
        return "allkeys-lru"


class AwaitedEvicting(AwaitedTable):
    """An `Evicting` whose methods are awaited."""

    async def evicts(self) -> str:
        return "allkeys-lru"


@pytest.mark.parametrize("kind", [Table, Evicting])
def test_a_server_that_may_evict_lists_is_told_of(
    records_of: Make, kind: type[Table], caplog: pytest.LogCaptureFixture
) -> None:
    """With the policy, and what to do."""
    assert records_of(kind())._ask(WarnOfEviction()) is None
    said = [record.getMessage() for record in caplog.records]
    assert [("allkeys-lru" in line, "noeviction" in line) for line in said] == [
        (True, True) for _ in said
    ]
    assert len(said) == (kind is Evicting)


def test_a_call_may_be_for_another_storage(records_of: Make) -> None:
    """Lists of users are kept beside the sessions."""
    here, beside = Table(), Table()
    beside.records = {"a": Stored(b"a", 1)}

    class Place:
        records = Records(beside, Keyspace(lambda: 1.0), None)
        async_records = AsyncRecords(AwaitedTable(beside), Keyspace(lambda: 1.0), None)

    assert records_of(here)._ask(Beside(Get("a"), Place)) == Stored(b"a", 1)
    assert (here.asked, beside.asked) == ([], [("get", "a")])


def test_a_call_for_another_storage_begins_in_the_task_that_awaits_it() -> None:
    """A save may begin outside of it, and time limits of another client depend on their task."""
    beside = Table()

    class Place:
        async_records = AsyncRecords(AwaitedTable(beside), Keyspace(lambda: 1.0), None)

    records = AsyncRecords(AwaitedTable(Table()), Keyspace(lambda: 1.0), None)
    asking = records._ask(Beside(Get("a"), Place))
    asking.send(None)
    assert beside.asked == []
    with pytest.raises(StopIteration):
        asking.send(None)
    assert beside.asked == [("get", "a")]


@pytest.mark.parametrize("value", [None, "", "a", "../" * 13 + "a", "a" * 4000])
def test_what_is_no_id_asks_no_server(records: Any, table: Table, value: str | None) -> None:
    """A client may send anything."""
    assert records.read(value).is_new
    assert table.asked == []


def test_an_id_that_leads_nowhere_is_not_adopted(records: Any, table: Table) -> None:
    """One question, and a session that is new."""
    session = records.read(unknown := new_id())
    session["user"] = 1
    assert session.is_new
    assert len(table.asked) == 1
    assert records.save(session) != unknown


def test_an_expired_session_reads_as_none(records: Any, clock: Clock) -> None:
    """By the storage's clock, whatever the backend still keeps."""
    id = stored(records, user=1)
    clock.advance(IDLE - 1)
    assert not records.read(id).is_new
    clock.advance(1)
    assert records.read(id).is_new


def test_a_damaged_record_reads_as_none(
    records: Any, table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    """With a warning."""
    id = stored(records, user=1)
    table.records[key_of(id, "shop:")] = Stored(b"damaged", 1)
    assert records.read(id).is_new
    assert "counts as absent" in caplog.text


def test_the_record_of_another_key_is_an_error_of_the_server(records: Any, table: Table) -> None:
    """A pool or proxy mixed up two answers; nobody gets another's session."""
    mine, theirs = stored(records, user=1), stored(records, user=2)
    table.records[key_of(mine, "shop:")] = table.records[key_of(theirs, "shop:")]
    with pytest.raises(BackendError, match=r"the server.*another key"):
        records.read(mine)


def test_a_destroyed_session_leaves_a_tombstone(records: Any, table: Table) -> None:
    """It reads as no session, and nothing claims its key for a while."""
    id = stored(records, user=1)
    session = records.read(id)
    session.destroy()
    assert records.save(session) == ""
    assert records.read(id).is_new
    key = key_of(id)
    assert isinstance(
        unpack(table.records[f"shop:{key}"].record, bytes.fromhex(key[:16])), Tombstone
    )


def test_a_rotation_is_followed(records: Any) -> None:
    """From the old id to the new one."""
    id = stored(records, user=1)
    session = records.read(id)
    session._own.move(ROTATES)
    newer = records.save(session)
    assert records.read(id).issued_id == newer != id


def test_every_call_of_a_plan_is_carried_out(records: Any, table: Table) -> None:
    """A move that loses a race claims, is refused, withdraws, and does it again."""
    id = stored(records, user=1)
    slow, fast = records.read(id), records.read(id)
    slow.regenerate_id()
    slow["slow"] = fast["fast"] = 1
    records.save(fast)
    table.asked.clear()
    moved = records.save(slow)
    assert [call[0] for call in table.asked] == ["swap", "swap", "delete", "swap", "swap"]
    assert dict(records.read(moved)) == {"user": 1, "slow": 1, "fast": 1}
    moved_again = records.read(moved)
    moved_again["n"] = 1
    records.save(moved_again)
    moved_again["n"] = 2
    table.asked.clear()
    records.save(moved_again)
    assert [call[0] for call in table.asked] == ["get", "swap"]


# Sweeping and closing


def test_a_backend_is_swept_that_does_not_do_it_by_itself(records_of: Make, table: Table) -> None:
    """What it removed is what comes back; another one has nothing to sweep."""
    assert records_of(Swept()).sweep() == 3
    assert records_of(swept := Swept()).sweep(5) == 3
    assert swept.asked == [("sweep", 5)]
    assert records_of(table).sweep() == 0


def test_every_so_many_new_sessions_a_few_records_are_swept(records_of: Make) -> None:
    """Where the storage is told to; a save that sets no cookie does not count."""
    table = Swept()
    records = records_of(table, 3)
    ids = [stored(records, user=number) for number in range(7)]
    records.save(Session())
    assert [call[0] for call in table.asked].count("sweep") == 2
    session = records.read(ids[0])
    session["user"] = 9
    assert records.save(session) is None
    assert [call[0] for call in table.asked].count("sweep") == 2
    alone = Swept()
    stored(records_of(alone), user=1)
    assert "sweep" not in [call[0] for call in alone.asked]


def test_a_sweep_that_fails_fails_no_request(
    records_of: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning says that expired sessions stay for now."""
    table = Swept()
    table.fails = True
    assert stored(records_of(table, 1), user=1)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "expired sessions stay" in record.getMessage()


def test_what_a_backend_opened_is_closed(records_of: Make, table: Table) -> None:
    """If it has anything to close."""
    records_of(swept := Swept()).close()
    assert swept.closed
    records_of(table).close()

"""
Every rule of a backend, as tests for your own backend.

    class TestMyBackend(BackendContract):
        @pytest.fixture
        def make(self):
            return lambda: MyBackend()

`make` is a function that returns a backend, plain or asynchronous, or an asynchronous context
manager that yields one. All backends that it returns use the same records.
"""

import asyncio
import time
from secrets import token_hex

from coatcheck._session.record import LIMIT, LONGEST
from coatcheck.storage.backend import AsyncGetsMany, AsyncSwapsMany, Refused, Swap
from coatcheck.testing.plain_or_awaited import Driven, Make, rule

__all__ = ["BackendContract", "Make"]

HOUR = 3600.0
RACERS = 20


def new_key() -> str:
    """Return a key like those that storages use."""
    return token_hex(32)


class BackendContract:
    """
    Every rule of `Backend` and `AsyncBackend`, as tests.

        class TestMyBackend(BackendContract):
            @pytest.fixture
            def make(self):
                return lambda: MyBackend()

    The fixture `make` returns a function that returns a backend, plain or asynchronous, or an
    asynchronous context manager that yields one. All backends that it returns use the same records.
    """

    @rule
    async def test_a_key_that_was_never_stored_has_nothing(self, backend: Driven) -> None:
        """A missing record is an answer, not an error."""
        assert await backend.get(new_key()) is None

    @rule
    async def test_a_claimed_key_holds_its_record(self, backend: Driven) -> None:
        """Version None claims a key that has nothing."""
        key = new_key()
        assert await backend.swap(key, None, b"one", HOUR) is None
        stored = await backend.get(key)
        assert stored and stored.record == b"one"

    @rule
    async def test_a_taken_key_cannot_be_claimed(self, backend: Driven) -> None:
        """A claim never overwrites a record, and returns the record that is there."""
        key = new_key()
        await backend.swap(key, None, b"first", HOUR)
        refused = await backend.swap(key, None, b"second", HOUR)
        assert refused and refused.stored and refused.stored.record == b"first"

    @rule
    async def test_the_version_that_was_read_is_replaced(self, backend: Driven) -> None:
        """A swap with the version that `get` returned succeeds."""
        key = new_key()
        await backend.swap(key, None, b"one", HOUR)
        stored = await backend.get(key)
        assert stored
        assert await backend.swap(key, stored.version, b"two", HOUR) is None
        replaced = await backend.get(key)
        assert replaced and replaced.record == b"two"

    @rule
    async def test_a_stale_version_is_refused(self, backend: Driven) -> None:
        """A swap with an older version changes nothing, and returns the current record."""
        key = new_key()
        await backend.swap(key, None, b"one", HOUR)
        stale = await backend.get(key)
        assert stale
        await backend.swap(key, stale.version, b"two", HOUR)
        refused = await backend.swap(key, stale.version, b"three", HOUR)
        assert refused and refused.stored and refused.stored.record == b"two"
        there = await backend.get(key)
        assert there and there.record == b"two"

    @rule
    async def test_a_refusal_carries_a_version_that_works(self, backend: Driven) -> None:
        """The version in `Refused` can be swapped without another `get`."""
        key = new_key()
        await backend.swap(key, None, b"one", HOUR)
        refused = await backend.swap(key, None, b"two", HOUR)
        assert refused and refused.stored
        assert await backend.swap(key, refused.stored.version, b"two", HOUR) is None

    @rule
    async def test_an_unchanged_record_keeps_its_version(self, backend: Driven) -> None:
        """Two reads of one state return the same version."""
        key = new_key()
        await backend.swap(key, None, b"one", HOUR)
        first, second = await backend.get(key), await backend.get(key)
        assert first and second and first.version == second.version
        assert first.version is not None

    @rule
    async def test_a_deleted_record_stays_gone(self, backend: Driven) -> None:
        """A swap of a deleted record is refused, and returns no record."""
        key = new_key()
        await backend.swap(key, None, b"one", HOUR)
        stored = await backend.get(key)
        assert stored
        await backend.delete(key)
        refused = await backend.swap(key, stored.version, b"two", HOUR)
        assert refused and refused.stored is None
        assert await backend.get(key) is None

    @rule
    async def test_deleting_nothing_is_no_error(self, backend: Driven) -> None:
        """A delete of a key without a record does nothing."""
        key = new_key()
        await backend.delete(key)
        assert await backend.get(key) is None

    @rule
    async def test_a_deleted_key_can_be_claimed(self, backend: Driven) -> None:
        """A new record can be stored under the key of a deleted one."""
        key = new_key()
        await backend.swap(key, None, b"one", HOUR)
        await backend.delete(key)
        assert await backend.swap(key, None, b"two", HOUR) is None

    @rule
    async def test_a_record_goes_after_its_ttl(self, backend: Driven) -> None:
        """A record is absent after its ttl, and its key can be claimed."""
        key = new_key()
        await backend.swap(key, None, b"one", 0.05)
        deadline = time.monotonic() + 10
        while await backend.get(key) is not None:
            assert time.monotonic() < deadline, "the record outlived its ttl by ten seconds"
            await asyncio.sleep(0.02)
        assert await backend.swap(key, None, b"two", HOUR) is None

    @rule
    async def test_a_long_ttl_keeps_the_record(self, backend: Driven) -> None:
        """A ttl of more than a month, and one of a hundred years, work like a shorter one."""
        for ttl in (400 * 24 * HOUR, LONGEST):
            key = new_key()
            await backend.swap(key, None, b"one", ttl)
            stored = await backend.get(key)
            assert stored is not None
            assert await backend.swap(key, stored.version, b"two", ttl) is None
            assert await backend.get(key) is not None

    @rule
    async def test_every_byte_comes_back(self, backend: Driven) -> None:
        """A record may hold any bytes."""
        for record in (bytes(range(256)), b"\r\nEND\r\n", b"\x00", b"x" * LIMIT):
            key = new_key()
            assert await backend.swap(key, None, record, HOUR) is None
            stored = await backend.get(key)
            assert stored and stored.record == record
            assert await backend.swap(key, stored.version, record[::-1], HOUR) is None

    @rule
    async def test_one_of_many_claims_wins(self, backend: Driven) -> None:
        """If many requests claim a key at once, one succeeds, and the others get its record."""
        key, start = new_key(), asyncio.Barrier(RACERS)

        async def claim(racer: int) -> Refused | None:
            await start.wait()
            refused: Refused | None = await backend.swap(key, None, b"%d" % racer, HOUR)
            return refused

        results = await asyncio.gather(*map(claim, range(RACERS)))
        winners = [racer for racer, refused in enumerate(results) if refused is None]
        stored = await backend.get(key)
        assert len(winners) == 1 and stored and stored.record == b"%d" % winners[0]
        seen = {refused.stored.record for refused in results if refused and refused.stored}
        assert seen == {stored.record}

    @rule
    async def test_no_swap_of_a_race_is_lost(self, backend: Driven) -> None:
        """If many requests add one at once, and retry when refused, the sum is exact."""
        key, start = new_key(), asyncio.Barrier(RACERS)
        await backend.swap(key, None, b"0", HOUR)

        async def add_one(_: int) -> None:
            await start.wait()
            stored = await backend.get(key)
            while stored:
                more = b"%d" % (int(stored.record) + 1)
                refused = await backend.swap(key, stored.version, more, HOUR)
                stored = refused.stored if refused else None

        await asyncio.gather(*map(add_one, range(RACERS)))
        counted = await backend.get(key)
        assert counted and counted.record == b"%d" % RACERS

    @rule
    async def test_a_delete_wins_against_writers(self, backend: Driven) -> None:
        """After a delete, no swap that began before stores the record again."""
        key, start = new_key(), asyncio.Barrier(RACERS)
        await backend.swap(key, None, b"0", HOUR)

        async def write(racer: int) -> None:
            stored = await backend.get(key)
            await start.wait()
            if racer == 0:
                await backend.delete(key)
            elif stored:
                await backend.swap(key, stored.version, b"%d" % racer, HOUR)

        await asyncio.gather(*map(write, range(RACERS)))
        assert await backend.get(key) is None

    @rule
    async def test_many_keys_are_read_at_once(self, backend: Driven) -> None:
        """`get_many`, if there is one, returns the records that are there, by key."""
        if not isinstance(backend.subject, AsyncGetsMany):
            return
        keys = [new_key() for _ in range(3)]
        for key in keys[:2]:
            await backend.swap(key, None, key.encode(), HOUR)
        found = await backend.get_many(keys)
        assert found == {key: await backend.get(key) for key in keys[:2]}
        assert await backend.get_many(keys[2:]) == {}

    @rule
    async def test_many_swaps_at_once_have_a_version_each(self, backend: Driven) -> None:
        """`swap_many`, if there is one, does what `swap` does for each key, in order."""
        if not isinstance(backend.subject, AsyncSwapsMany):
            return
        fresh, stale, taken, new, gone = (new_key() for _ in range(5))
        for key in (fresh, stale, taken, gone):
            await backend.swap(key, None, b"one", HOUR)
        read = {key: await backend.get(key) for key in (fresh, stale, gone)}
        await backend.swap(stale, read[stale].version, b"two", HOUR)
        await backend.delete(gone)
        versions = {fresh: read[fresh].version, stale: read[stale].version, taken: None, new: None}
        versions[gone] = read[gone].version
        swaps = [Swap(key, version, b"three", HOUR) for key, version in versions.items()]
        answers = await backend.swap_many(swaps)
        there = {key: await backend.get(key) for key in versions}
        assert answers == [
            None,
            Refused(there[stale]),
            Refused(there[taken]),
            None,
            Refused(None),
        ]
        kept = [stored and stored.record for stored in there.values()]
        assert kept == [b"three", b"two", b"one", b"three", None]

    @rule
    async def test_an_expired_record_is_absent_for_many(self, backend: Driven) -> None:
        """It is not read, and a swap of many replaces it only as a claim."""
        if not isinstance(backend.subject, AsyncSwapsMany):
            return
        key, other = new_key(), new_key()
        await backend.swap(key, None, b"one", 0.05)
        deadline = time.monotonic() + 10
        while await backend.get(key) is not None:
            assert time.monotonic() < deadline, "the record outlived its ttl by ten seconds"
            await asyncio.sleep(0.02)
        swaps = [Swap(each, None, b"two", HOUR) for each in (key, other)]
        for answer, swap in zip(await backend.swap_many(swaps), swaps, strict=True):
            # `AskAlone`: it is to be claimed alone.
            assert answer is None or not isinstance(answer, Refused)
            if answer is not None:
                assert await backend.swap(swap.key, None, b"two", HOUR) is None
        found = await backend.get(key)
        assert found and found.record == b"two"

"""
Every rule of a backend, as tests that you run over yours.

    class TestMyBackend(BackendContract):
        @pytest.fixture
        def make(self):
            return lambda: MyBackend()

`make` returns a backend, plain or asynchronous, or an asynchronous context manager that yields one.
All backends that it makes keep their records in the same place.
"""

import asyncio
import time
from secrets import token_hex

from coatcheck._session.record import LIMIT
from coatcheck.storage.backend import Refused
from coatcheck.testing.plain_or_awaited import Driven, Make, rule

__all__ = ["BackendContract", "Make"]

HOUR = 3600.0
RACERS = 20


def new_key() -> str:
    """Return a key like those that storages use."""
    return token_hex(32)


class BackendContract:
    """The contract of `Backend` and `AsyncBackend`; see the top of this module."""

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
        """A claim never overwrites, and tells what is there."""
        key = new_key()
        await backend.swap(key, None, b"first", HOUR)
        refused = await backend.swap(key, None, b"second", HOUR)
        assert refused and refused.stored and refused.stored.record == b"first"

    @rule
    async def test_the_version_that_was_read_is_replaced(self, backend: Driven) -> None:
        """A swap of what is there succeeds."""
        key = new_key()
        await backend.swap(key, None, b"one", HOUR)
        stored = await backend.get(key)
        assert stored
        assert await backend.swap(key, stored.version, b"two", HOUR) is None
        replaced = await backend.get(key)
        assert replaced and replaced.record == b"two"

    @rule
    async def test_a_stale_version_is_refused(self, backend: Driven) -> None:
        """A swap of what was there before changes nothing and tells what is there now."""
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
        """What a refused swap tells can be swapped without another read."""
        key = new_key()
        await backend.swap(key, None, b"one", HOUR)
        refused = await backend.swap(key, None, b"two", HOUR)
        assert refused and refused.stored
        assert await backend.swap(key, refused.stored.version, b"two", HOUR) is None

    @rule
    async def test_an_unchanged_record_keeps_its_version(self, backend: Driven) -> None:
        """Two reads of the same state tell of the same version."""
        key = new_key()
        await backend.swap(key, None, b"one", HOUR)
        first, second = await backend.get(key), await backend.get(key)
        assert first and second and first.version == second.version
        assert first.version is not None

    @rule
    async def test_a_deleted_record_stays_gone(self, backend: Driven) -> None:
        """A swap of a deleted record is refused, and finds nothing."""
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
        """A delete of what is not there does nothing."""
        key = new_key()
        await backend.delete(key)
        assert await backend.get(key) is None

    @rule
    async def test_a_deleted_key_can_be_claimed(self, backend: Driven) -> None:
        """Nothing of a deleted record is left."""
        key = new_key()
        await backend.swap(key, None, b"one", HOUR)
        await backend.delete(key)
        assert await backend.swap(key, None, b"two", HOUR) is None

    @rule
    async def test_a_record_goes_after_its_ttl(self, backend: Driven) -> None:
        """What outlived its ttl is absent, and its key is free."""
        key = new_key()
        await backend.swap(key, None, b"one", 0.05)
        deadline = time.monotonic() + 10
        while await backend.get(key) is not None:
            assert time.monotonic() < deadline, "the record outlived its ttl by ten seconds"
            await asyncio.sleep(0.02)
        assert await backend.swap(key, None, b"two", HOUR) is None

    @rule
    async def test_a_long_ttl_keeps_the_record(self, backend: Driven) -> None:
        """A ttl beyond a month is a duration like any other."""
        key = new_key()
        await backend.swap(key, None, b"one", 400 * 24 * HOUR)
        assert await backend.get(key) is not None

    @rule
    async def test_every_byte_comes_back(self, backend: Driven) -> None:
        """A record is bytes, and nothing about them matters."""
        for record in (bytes(range(256)), b"\r\nEND\r\n", b"\x00", b"x" * LIMIT):
            key = new_key()
            assert await backend.swap(key, None, record, HOUR) is None
            stored = await backend.get(key)
            assert stored and stored.record == record
            assert await backend.swap(key, stored.version, record[::-1], HOUR) is None

    @rule
    async def test_one_of_many_claims_wins(self, backend: Driven) -> None:
        """Of claims that race, exactly one succeeds, and the others see its record."""
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
        """Racers that each add one, and try again when refused, count exactly."""
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
        """Once a delete is done, no swap that began before brings the record back."""
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

"""
Every rule of a storage, as tests that you run over yours.

    class TestMyStorage(StorageContract):
        keeps_every_update = False      # of two requests at once, the later wins

        @pytest.fixture
        def make(self):
            return MyStorage

`make` returns a storage, plain or asynchronous, or an asynchronous context manager that yields one.
A storage that cannot promise something says so, and the rules for it are skipped.
"""

import asyncio
from datetime import UTC, datetime

import pytest

from coatcheck._session.session import Session
from coatcheck.testing.plain_or_awaited import Driven, Make, rule

__all__ = ["Make", "StorageContract"]

RACERS = 20


class StorageContract:
    """
    The contract of `SessionStorage`.

    `keeps_flashes`: what a request flashed is there for the next one.
    `keeps_every_update`: requests that race lose nothing of each other.
    `revocable`: a value leads nowhere once its session was destroyed or got a new id.
    """

    keeps_flashes = True
    keeps_every_update = True
    revocable = True

    @rule
    async def test_without_a_value_there_is_a_new_session(self, storage: Driven) -> None:
        """None reads as a session that is new and empty."""
        session = await storage.read(None)
        assert isinstance(session, Session)
        assert session.is_new and not session and not session.modified

    @rule
    async def test_a_value_that_leads_nowhere_is_a_new_session(self, storage: Driven) -> None:
        """What was never issued is not adopted, however it looks."""
        for value in ("", "x", "A" * 43, "../../etc/passwd", "é\0\n", "-" * 4000):
            session = await storage.read(value)
            assert session.is_new and not session
            assert session.id != value

    @rule
    async def test_a_session_nobody_changed_is_not_kept(self, storage: Driven) -> None:
        """A visitor who only looks gets no cookie."""
        session = await storage.read(None)
        session.get("user")
        assert not session.modified
        assert await storage.save(session) in (None, "")

    @rule
    async def test_what_was_set_is_there_for_the_next_request(self, storage: Driven) -> None:
        """A new session gets a value, which leads to what it held."""
        held = {
            "n": 1,
            "text": "é",
            "cart": [1, {"a": None}],
            "at": datetime(2026, 1, 1, tzinfo=UTC),
        }
        value = await _kept(storage, await storage.read(None), **held)
        session = await storage.read(value)
        assert dict(session) == held
        assert not session.is_new and not session.modified

    @rule
    async def test_what_was_changed_is_changed(self, storage: Driven) -> None:
        """Set anew, taken away, changed in place."""
        value = await _kept(storage, await storage.read(None), a=1, b=2, cart=[1])
        session = await storage.read(value)
        session["a"] = 9
        del session["b"]
        session["cart"].append(2)
        value = await storage.save(session) or value
        assert dict(await storage.read(value)) == {"a": 9, "cart": [1, 2]}

    @rule
    async def test_a_flash_is_there_once(self, storage: Driven) -> None:
        """For the next request that reads it, and for none after."""
        if not self.keeps_flashes:
            pytest.skip("this storage keeps no flashes")
        session = await storage.read(None)
        session.flash("notice", "Saved.")
        value = await storage.save(session)
        session = await storage.read(value)
        assert session["notice"] == "Saved."
        value = await storage.save(session) or value
        assert "notice" not in await storage.read(value)

    @rule
    async def test_a_destroyed_session_is_removed(self, storage: Driven) -> None:
        """The cookie is removed, and the value leads nowhere."""
        value = await _kept(storage, await storage.read(None), user=1)
        session = await storage.read(value)
        session.destroy()
        assert await storage.save(session) == ""
        if self.revocable:
            assert (await storage.read(value)).is_new

    @rule
    async def test_a_new_id_leads_to_the_same_data(self, storage: Driven) -> None:
        """The old one leads nowhere."""
        value = await _kept(storage, await storage.read(None), user=1)
        session = await storage.read(value)
        before = session.id
        session.regenerate_id()
        moved = await storage.save(session)
        assert moved and moved != value
        session = await storage.read(moved)
        assert session["user"] == 1 and session.id != before
        if self.revocable:
            assert not await storage.read(value)

    @rule
    async def test_two_requests_lose_nothing_of_each_other(self, storage: Driven) -> None:
        """Both read, both change, both save."""
        if not self.keeps_every_update:
            pytest.skip("of two requests at once, the later wins")
        value = await _kept(storage, await storage.read(None), n=0)
        one, other = await storage.read(value), await storage.read(value)
        for session, key in ((one, "one"), (other, "other")):
            session[key] = True
            session.apply("n", lambda n: n + 1)
            await storage.save(session)
        assert dict(await storage.read(value)) == {"n": 2, "one": True, "other": True}

    @rule
    async def test_many_requests_lose_nothing_of_each_other(self, storage: Driven) -> None:
        """All at once, each with a key of its own and a count that they share."""
        if not self.keeps_every_update:
            pytest.skip("of two requests at once, the later wins")
        value = await _kept(storage, await storage.read(None), n=0)
        start = asyncio.Barrier(RACERS)

        async def visit(racer: int) -> None:
            session = await storage.read(value)
            session[f"racer {racer}"] = racer
            session.apply("n", lambda n: n + 1)
            await start.wait()
            await storage.save(session)

        await asyncio.gather(*map(visit, range(RACERS)))
        session = await storage.read(value)
        assert session["n"] == RACERS and len(session) == RACERS + 1

    @rule
    async def test_a_destroyed_session_stays_gone(self, storage: Driven) -> None:
        """A request that was under way brings nothing back."""
        if not (self.revocable and self.keeps_every_update):
            pytest.skip("this storage cannot tell that a session is over")
        value = await _kept(storage, await storage.read(None), user=1)
        slow, sign_out = await storage.read(value), await storage.read(value)
        sign_out.destroy()
        await storage.save(sign_out)
        slow["seen"] = True
        assert await storage.save(slow) is None
        assert (await storage.read(value)).is_new


async def _kept(storage: Driven, session: Session, **values: object) -> str:
    """Put *values* into a session, save it, and return the value for its cookie."""
    session.update(values)
    value: str | None = await storage.save(session)
    assert value, "a new session with data must get a value"
    return value

"""
Every rule of a storage, as tests for your own storage.

    class TestMyStorage(StorageContract):
        keeps_every_update = False      # if two requests save at once, the later one wins

        @pytest.fixture
        def make(self):
            return MyStorage

`make` is a function that returns a storage, plain or asynchronous, or an asynchronous context
manager that yields one. If the storage cannot keep a promise, set its attribute to False; the rules
for that promise are then skipped.
"""

import asyncio
from datetime import UTC, datetime
from unittest import SkipTest

from coatcheck._session.session import Session
from coatcheck.testing.plain_or_awaited import Driven, Make, rule

__all__ = ["Make", "StorageContract"]

RACERS = 20


class StorageContract:
    """
    Every rule of `SessionStorage`, as tests.

        class TestMyStorage(StorageContract):
            keeps_every_update = False

            @pytest.fixture
            def make(self):
                return MyStorage

    The fixture `make` returns a function that returns a storage, plain or asynchronous, or an
    asynchronous context manager that yields one. If the storage cannot keep a promise, set the
    attribute of that promise to False; its rules are then skipped.
    """

    keeps_flashes = True
    """The next request finds a value that a request flashed."""

    keeps_every_update = True
    """If requests save one session at once, no change is lost."""

    revocable = True
    """A value leads to no session after its session was destroyed or got a new id."""

    @rule
    async def test_without_a_value_there_is_a_new_session(self, storage: Driven) -> None:
        """`read(None)` returns a new, empty session."""
        session = await storage.read(None)
        assert isinstance(session, Session)
        assert session.is_new and not session and not session.modified

    @rule
    async def test_a_value_that_leads_nowhere_is_a_new_session(self, storage: Driven) -> None:
        """A value that the storage never issued reads as a new session with another id."""
        for value in ("", "x", "A" * 40, "../../etc/passwd", "é\0\n", "-" * 4000):
            session = await storage.read(value)
            assert session.is_new and not session
            assert session.id != value

    @rule
    async def test_a_session_nobody_changed_is_not_kept(self, storage: Driven) -> None:
        """An unchanged new session is not saved, so its visitor gets no cookie."""
        session = await storage.read(None)
        session.get("user")
        assert not session.modified
        assert await storage.save(session) in (None, "")

    @rule
    async def test_what_was_set_is_there_for_the_next_request(self, storage: Driven) -> None:
        """A changed new session gets a value, and `read` of it returns the same data."""
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
        """A value that was set, unset, or changed in place is saved."""
        value = await _kept(storage, await storage.read(None), a=1, b=2, cart=[1])
        session = await storage.read(value)
        session["a"] = 9
        del session["b"]
        session["cart"].append(2)
        value = await storage.save(session) or value
        assert dict(await storage.read(value)) == {"a": 9, "cart": [1, 2]}

    @rule
    async def test_a_flash_is_there_once(self, storage: Driven) -> None:
        """The next request that reads a flash finds it, and later requests do not."""
        if not self.keeps_flashes:
            raise SkipTest("this storage keeps no flashes")
        session = await storage.read(None)
        session.flash("notice", "Saved.")
        value = await storage.save(session)
        session = await storage.read(value)
        assert session["notice"] == "Saved."
        value = await storage.save(session) or value
        assert "notice" not in await storage.read(value)

    @rule
    async def test_a_destroyed_session_is_removed(self, storage: Driven) -> None:
        """After destroy(), the cookie is removed, and the value reads as a new session."""
        value = await _kept(storage, await storage.read(None), user=1)
        session = await storage.read(value)
        session.destroy()
        assert await storage.save(session) == ""
        if self.revocable:
            assert (await storage.read(value)).is_new

    @rule
    async def test_a_new_id_leads_to_the_same_data(self, storage: Driven) -> None:
        """After regenerate_id(), the new value leads to the data, and the old one does not."""
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
        """If two requests read, change and save one session at once, both changes are kept."""
        if not self.keeps_every_update:
            raise SkipTest("of two requests at once, the later wins")
        value = await _kept(storage, await storage.read(None), n=0)
        one, other = await storage.read(value), await storage.read(value)
        for session, key in ((one, "one"), (other, "other")):
            session[key] = True
            session.apply("n", lambda n: n + 1)
            await storage.save(session)
        assert dict(await storage.read(value)) == {"n": 2, "one": True, "other": True}

    @rule
    async def test_many_requests_lose_nothing_of_each_other(self, storage: Driven) -> None:
        """If many requests save at once, each key is kept, and a shared count is exact."""
        if not self.keeps_every_update:
            raise SkipTest("of two requests at once, the later wins")
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
        """A request that had read the session before destroy() cannot store it again."""
        if not (self.revocable and self.keeps_every_update):
            raise SkipTest("this storage cannot tell that a session is over")
        value = await _kept(storage, await storage.read(None), user=1)
        slow, sign_out = await storage.read(value), await storage.read(value)
        sign_out.destroy()
        await storage.save(sign_out)
        slow["seen"] = True
        assert await storage.save(slow) is None
        assert (await storage.read(value)).is_new


async def _kept(storage: Driven, session: Session, **values: object) -> str:
    """Set *values* in a session, save it, and return the value for its cookie."""
    session.update(values)
    value: str | None = await storage.save(session)
    assert value, "a new session with data must get a value"
    return value

"""The promises of a server-side storage, in races that are exact: a hook runs before each call."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck import ConfigurationError, Session, SessionConflict
from coatcheck._session.draft import Draft
from coatcheck._session.ids import key_of
from coatcheck._session.lifecycle import ATTEMPTS, GRACE, admit
from coatcheck._session.record import LIMIT, Terms, owner_of
from coatcheck.storage import AsyncKeyedStorage, KeyedStorage, Refused, Stored
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.storage.backends.threaded import ThreadedBackend
from coatcheck.testing import Clock

DAY = 24 * 3600.0
Hook = Callable[[str, str], None]


class Watched:
    """A backend that notes its calls, and runs a hook before each, where others are faster."""

    waits = False

    def __init__(self, clock: Clock) -> None:
        self.backend = MemoryBackend(max_records=100, clock=clock)
        self.calls: list[str] = []
        self.keys: set[str] = set()
        self.before: Hook | None = None

    def _note(self, call: str, key: str) -> None:
        self.calls.append(call)
        self.keys.add(key)
        hook, self.before = self.before, None
        if hook:
            hook(call, key)
            self.before = self.before or (hook if getattr(hook, "always", False) else None)

    def get(self, key: str) -> Stored | None:
        self._note("get", key)
        return self.backend.get(key)

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        self._note("claim" if version is None else "swap", key)
        return self.backend.swap(key, version, record, ttl)

    def delete(self, key: str) -> None:
        self._note("delete", key)
        self.backend.delete(key)


class Awaited:
    """The same, asynchronous."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched

    async def get(self, key: str) -> Stored | None:
        return self.watched.get(key)

    async def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        return self.watched.swap(key, version, record, ttl)

    async def delete(self, key: str) -> None:
        self.watched.delete(key)


class Store:
    """A storage of either form, called as if it were plain."""

    def __init__(self, form: str, clock: Clock) -> None:
        self.backend = Watched(clock)
        self.plain = KeyedStorage(self.backend, clock=clock)
        self.other = AsyncKeyedStorage(Awaited(self.backend), clock=clock)
        self.form = form

    def read(self, value: str | None, terms: Terms | None = None) -> Session:
        if self.form == "plain":
            session = self.plain.read(value)
        else:
            session = asyncio.run(self.other.read(value))
        return admit(session, terms, blank=partial(Draft, terms=terms)) if terms else session

    def save(self, session: Session) -> str | None:
        if self.form == "plain":
            return self.plain.save(session)
        return asyncio.run(self.other.save(session))

    def kept(self, **values: Any) -> str:
        """Keep a new session, and return its value."""
        session = self.plain.read(None)
        session.update(values)
        value = self.plain.save(session)
        assert value
        self.backend.calls.clear()
        return value

    def look(self, value: str | None) -> dict[str, Any]:
        """Return what is stored, without a trace."""
        calls = list(self.backend.calls)
        found = dict(self.plain.read(value))
        self.backend.calls[:] = calls
        return found

    def meanwhile(self, act: Callable[[], object], *, before: str = "swap") -> None:
        """Let another request do something just before the next call of that kind."""

        def hook(call: str, _: str) -> None:
            if call == before:
                act()
            else:
                self.backend.before = hook

        self.backend.before = hook


@pytest.fixture(params=["plain", "async"])
def store(request: pytest.FixtureRequest, clock: Clock) -> Store:
    return Store(request.param, clock)


def change(store: Store, value: str, act: Callable[[Session], object]) -> Callable[[], str | None]:
    """Return a request of another client, which does *act* and is saved at once."""

    def request() -> str | None:
        session = store.plain.read(value)
        act(session)
        return store.plain.save(session)

    return request


def test_a_visitor_who_only_looks_costs_nothing(store: Store) -> None:
    """No call, no id, no value."""
    session = store.read(None)
    assert session.get("user") is None
    assert store.save(session) is None
    assert store.backend.calls == []
    assert session.draft.id is None


def test_reading_is_one_call_and_writing_two(store: Store) -> None:
    """A read, and a conditional write."""
    value = store.kept(a=1)
    session = store.read(value)
    session["a"] = 2
    assert store.save(session) is None
    assert store.backend.calls == ["get", "swap"]


def test_what_was_not_changed_is_not_written(store: Store) -> None:
    """Reading, and setting a key to what it held, write nothing."""
    value = store.kept(a=1, cart=[1])
    session = store.read(value)
    session["a"] = session["cart"][0]
    assert store.save(session) is None
    assert store.backend.calls == ["get"]


def test_the_backend_never_sees_an_id(store: Store) -> None:
    """Only its SHA-256, behind the prefix."""
    value = store.kept(a=1)
    store.read(value)
    assert store.backend.keys == {key_of(value)}
    assert len(key_of(value)) == 64
    assert key_of(value, "prefix:") == "prefix:" + key_of(value)


@given(value=st.text())
def test_a_value_that_is_no_id_reaches_no_backend(value: str) -> None:
    """Whatever a client sends, of any length."""
    store = Store("plain", Clock())
    for sent in (value, value * 100, f"../{value}", value[:40]):
        assert store.read(sent).is_new
    assert len(store.backend.calls) <= 2  # only what happens to look like an id


def test_an_id_that_was_never_issued_is_not_adopted(store: Store) -> None:
    """It is read as nothing, written under another id, and never echoed."""
    planted = "A" * 40
    session = store.read(planted)
    session["user"] = 1
    value = store.save(session)
    assert value not in (None, planted)
    assert store.look(planted) == {}


def test_changes_of_two_requests_are_both_kept(store: Store) -> None:
    """The one that comes second replays its steps on what the first one left."""
    value = store.kept(a=1, b=2, c=3, n=0)
    session = store.read(value)
    session["a"] = 9
    del session["b"]
    session.apply("n", lambda n: n + 1)

    def act(other: Session) -> None:
        other.update(c=7, d=4, b=8)
        other.apply("n", lambda n: n + 10)

    store.meanwhile(change(store, value, act))
    assert store.save(session) is None
    assert store.look(value) == {"a": 9, "c": 7, "d": 4, "n": 11}
    assert store.backend.calls.count("swap") == 3


def test_of_two_that_set_one_key_the_later_wins(store: Store) -> None:
    """Key by key."""
    value = store.kept(a=0)
    session = store.read(value)
    session["a"] = "later"
    store.meanwhile(change(store, value, lambda other: other.set("a", "first")))
    store.save(session)
    assert store.look(value) == {"a": "later"}


def test_two_flashes_are_both_shown(store: Store) -> None:
    """What one request left does not hide what another did."""
    value = store.kept(a=0)
    session = store.read(value)
    session.flash("one", 1)
    store.meanwhile(change(store, value, lambda other: other.flash("two", 2)))
    store.save(session)
    found = store.plain.read(value)
    assert (found["one"], found["two"]) == (1, 2)


def test_reading_a_flash_leaves_one_that_came_since(store: Store) -> None:
    """The newer one was not shown yet."""
    value = store.kept(a=0)
    change(store, value, lambda other: other.flash("notice", "old"))()
    session = store.read(value)
    assert session["notice"] == "old"
    store.meanwhile(change(store, value, lambda other: other.flash("notice", "new")))
    store.save(session)
    assert store.plain.read(value)["notice"] == "new"


def write(session: Session) -> None:
    session["a"] = 1


def count(session: Session) -> None:
    session.apply("n", lambda n: (n or 0) + 1)


def flash(session: Session) -> None:
    session.flash("notice", 1)


def move(session: Session) -> None:
    session["a"] = 1
    session.regenerate_id()


def fork(session: Session) -> None:
    session.regenerate_id(keep_old=True)


@pytest.mark.parametrize(
    ("act", "before"),
    [
        (write, "swap"),
        (count, "swap"),
        (flash, "swap"),
        (move, "claim"),
        (move, "swap"),
        (fork, "claim"),
        (fork, "get"),
    ],
)
def test_a_destroyed_session_stays_gone(
    store: Store, act: Callable[[Session], None], before: str
) -> None:
    """Whatever this request does, and however late the other one signs out."""
    value = store.kept(user=1)
    session = store.read(value)
    act(session)
    store.meanwhile(change(store, value, lambda other: other.destroy()), before=before)
    assert store.save(session) is None
    assert len(store.backend.backend) == 0


def test_a_refresh_brings_nothing_back(store: Store, clock: Clock) -> None:
    """Neither a session that was destroyed, nor data that was replaced."""
    value = store.kept(user=1)
    clock.advance(5 * DAY)
    session = store.read(value)
    store.meanwhile(change(store, value, lambda other: other.set("user", 2)))
    store.save(session)
    assert store.look(value) == {"user": 2}
    clock.advance(5 * DAY)
    session = store.read(value)
    store.meanwhile(change(store, value, lambda other: other.destroy()))
    assert store.save(session) is None
    assert store.plain.read(value).is_new


def test_a_new_id_takes_the_data_along_and_the_old_one_leads_nowhere(store: Store) -> None:
    """The old one reads as an empty session that keeps nothing and sends no cookie."""
    value = store.kept(user=1)
    session = store.read(value)
    session.regenerate_id()
    moved = store.save(session)
    assert moved == session.id != value
    assert store.look(moved) == {"user": 1}
    late = store.read(value)
    late["planted"] = True
    assert store.save(late) is None
    assert store.look(value) == {}
    assert store.look(moved) == {"user": 1}


def test_the_old_id_can_be_kept(store: Store) -> None:
    """It goes on leading to the session as it was."""
    value = store.kept(user=1)
    session = store.read(value)
    session["step"] = 2
    session.regenerate_id(keep_old=True)
    moved = store.save(session)
    assert store.look(value) == {"user": 1}
    assert store.look(moved) == {"user": 1, "step": 2}


@pytest.mark.parametrize("keep_old", [True, False])
def test_a_write_before_the_move_comes_along(store: Store, keep_old: bool) -> None:
    """What another request wrote while the new id was claimed is there; nothing is left over."""
    value = store.kept(user=1)
    session = store.read(value)
    session["mine"] = True
    session.regenerate_id(keep_old=keep_old)
    act = change(store, value, lambda other: other.set("theirs", True))
    store.meanwhile(act, before="get" if keep_old else "swap")
    moved = store.save(session)
    assert store.look(moved) == {"user": 1, "mine": True, "theirs": True}
    assert len(store.backend.backend) == 2


def test_a_write_after_the_move_is_dropped(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """It never reaches the new session, and the log says so without a key or a value."""
    caplog.set_level(logging.INFO)
    value = store.kept(user=1)
    slow = store.read(value)
    slow["hunter2"] = "hunter2"
    moved = change(store, value, lambda other: other.regenerate_id())()
    assert store.save(slow) is None
    assert store.look(moved) == {"user": 1}
    assert "dropped" in caplog.text
    assert "hunter2" not in caplog.text
    assert value not in caplog.text


def test_of_two_moves_the_second_keeps_what_it_wrote_itself(store: Store) -> None:
    """As when somebody clicks "sign in" twice; nothing of the old session comes along."""
    value = store.kept(secret=1)
    second = store.read(value)
    second["user"] = 2
    second.regenerate_id()

    def first(session: Session) -> None:
        session["user"] = 1
        session.regenerate_id()

    moved: list[str | None] = []
    store.meanwhile(lambda: moved.append(change(store, value, first)()))
    other = store.save(second)
    assert store.look(moved[0]) == {"secret": 1, "user": 1}
    assert store.look(other) == {"user": 2}


def test_a_move_that_wrote_nothing_of_its_own_is_dropped(store: Store) -> None:
    """There is nothing to keep under the second id."""
    value = store.kept(user=1)
    second = store.read(value)
    second.regenerate_id()
    store.meanwhile(change(store, value, lambda other: other.regenerate_id()))
    assert store.save(second) is None
    assert len(store.backend.backend) == 2


def test_who_comes_with_the_old_id_can_sign_in(store: Store) -> None:
    """A second click that comes after the first was done gets an id of its own."""
    value = store.kept(user=1)
    change(store, value, lambda other: other.regenerate_id())()
    late = store.read(value)
    late["user"] = 2
    late.regenerate_id()
    assert store.look(store.save(late)) == {"user": 2}


def test_a_marker_goes_after_its_time(store: Store, clock: Clock) -> None:
    """Then the old id is like any that was never issued: a write starts a session of its own."""
    value = store.kept(user=1)
    change(store, value, lambda other: other.regenerate_id())()
    clock.advance(GRACE)
    session = store.read(value)
    session["a"] = 1
    assert store.save(session) not in (None, value)


def test_a_new_id_is_claimed_and_never_overwritten(store: Store) -> None:
    """If somebody has it, another one is taken."""
    session = store.read(None)
    session["mine"] = True
    wanted = session.id
    other = key_of(wanted)
    store.backend.backend.swap(other, None, b"somebody's", 100)
    value = store.save(session)
    assert value != wanted
    assert store.look(value) == {"mine": True}
    found = store.backend.backend.get(other)
    assert found
    assert found.record == b"somebody's"
    assert session.id == value


def test_regenerate_then_destroy_leaves_nothing(store: Store) -> None:
    """In one request: neither the old record nor a new one."""
    value = store.kept(user=1)
    session = store.read(value)
    session.regenerate_id()
    session.destroy()
    assert store.save(session) == ""
    assert len(store.backend.backend) == 0


def test_signing_nobody_out_asks_nobody(store: Store) -> None:
    """A new session that is destroyed was never kept."""
    session = store.read(None)
    session["a"] = 1
    session.destroy()
    assert store.save(session) is None
    assert store.backend.calls == []


def test_a_session_left_empty_by_clear_is_removed(store: Store) -> None:
    """Many applications sign out so. One that is filled again stays."""
    value = store.kept(user=1)
    session = store.read(value)
    session.clear()
    session["a"] = 1
    assert store.save(session) is None
    assert store.look(value) == {"a": 1}
    session = store.read(value)
    session.clear()
    assert store.save(session) == ""
    assert len(store.backend.backend) == 0


def test_a_session_emptied_key_by_key_stays(store: Store) -> None:
    """Only clear() says that it is over."""
    value = store.kept(a=1)
    session = store.read(value)
    del session["a"]
    assert store.save(session) is None
    assert not store.plain.read(value).is_new


def test_losing_every_race_is_an_error(store: Store) -> None:
    """After so many tries; nothing of the request is kept."""
    value = store.kept(n=0)
    session = store.read(value)
    session["mine"] = True

    def faster(call: str, key: str) -> None:
        if call == "swap" and session.draft.reach == "client":
            stored = store.backend.backend.get(key)
            assert stored
            again = store.plain.read(value)
            again.apply("n", lambda n: n + 1)
            store.backend.before = None
            KeyedStorage(store.backend.backend, clock=store.plain.clock).save(again)

    faster.always = True  # type: ignore[attr-defined]
    store.backend.before = faster
    with pytest.raises(SessionConflict) as raised:
        store.save(session)
    store.backend.before = None
    assert raised.value.attempts == ATTEMPTS
    assert "mine" not in store.look(value)


def test_a_second_save_builds_on_the_first(store: Store) -> None:
    """A late change looks first, since this request does not know what is there by now."""
    value = store.kept(a=1)
    session = store.read(value)
    session["a"] = 2
    store.save(session)
    change(store, value, lambda other: other.set("theirs", True))()
    session["late"] = True
    store.backend.calls.clear()
    assert store.save(session) is None
    assert store.backend.calls == ["get", "swap"]
    assert store.look(value) == {"a": 2, "late": True, "theirs": True}


@pytest.mark.parametrize("moves", [True, False])
def test_a_second_save_of_what_is_gone_brings_nothing_back(store: Store, moves: bool) -> None:
    """Also not under a new id."""
    value = store.kept(a=1)
    session = store.read(value)
    session["a"] = 2
    store.save(session)
    change(store, value, lambda other: other.destroy())()
    session["late"] = True
    if moves:
        session.regenerate_id()
    assert store.save(session) is None
    assert len(store.backend.backend) == 0
    session["later"] = True
    assert store.save(session) is None


def test_what_is_done_after_the_end_is_dropped(store: Store) -> None:
    """A session that was cleared and removed is not kept again by the same request."""
    value = store.kept(a=1)
    session = store.read(value)
    session.clear()
    assert store.save(session) == ""
    session["late"] = True
    assert store.save(session) is None
    assert len(store.backend.backend) == 0


def test_a_change_made_while_the_save_waits_is_not_forgotten(store: Store) -> None:
    """It is not in what was written, and still to be saved."""
    value = store.kept(a=1)
    session = store.read(value)
    session["a"] = 2
    store.meanwhile(lambda: session.set("during", True))
    store.save(session)
    assert session.modified
    store.save(session)
    assert store.look(value) == {"a": 2, "during": True}


def test_a_session_in_use_is_renewed_after_a_share_of_its_time(store: Store, clock: Clock) -> None:
    """Not before: most requests write nothing."""
    terms = Terms(owner_of("a"), idle=100, refresh=0.1)
    session = store.read(None, terms)
    session["a"] = 1
    value = store.save(session)
    assert value
    clock.advance(9)
    session = store.read(value, terms)
    session["a"] = 2
    assert store.save(session) is None  # written, and not renewed
    clock.advance(1)
    session = store.read(value, terms)
    assert store.save(session) == value
    assert session.expires_at
    assert session.expires_at.timestamp() == clock() + 100


def test_an_unused_session_dies(store: Store, clock: Clock) -> None:
    """At its deadline, and not a moment later, also if the record is still there."""
    terms = Terms(owner_of("a"), idle=100)
    session = store.read(None, terms)
    session["a"] = 1
    value = store.save(session)
    assert value
    stored = store.backend.backend.get(key_of(value))
    assert stored
    clock.advance(99)
    assert store.read(value)["a"] == 1
    clock.advance(1)
    store.backend.backend.swap(key_of(value), None, stored.record, 1000)
    assert store.read(value).is_new


def test_no_session_outlives_its_lifetime(store: Store, clock: Clock) -> None:
    """Neither use nor a new id moves the absolute deadline."""
    terms = Terms(owner_of("a"), idle=100, lifetime=250)
    session = store.read(None, terms)
    session["a"] = 1
    value = store.save(session)
    for _ in range(4):
        clock.advance(60)
        session = store.read(value, terms)
        session.regenerate_id()
        value = store.save(session)
    assert store.read(value, terms)["a"] == 1
    clock.advance(10)
    assert store.read(value, terms).is_new


def test_a_save_after_the_lifetime_keeps_nothing(store: Store, clock: Clock) -> None:
    """A request that began before the end and is saved after it."""
    terms = Terms(owner_of("a"), idle=100, lifetime=50)
    session = store.read(None, terms)
    session["a"] = 1
    value = store.save(session)
    clock.advance(49)
    session = store.read(value, terms)
    clock.advance(1)
    session["a"] = 2
    assert store.save(session) is None


def test_terms_that_became_stricter_hold_at_once(store: Store, clock: Clock) -> None:
    """A shorter lifetime ends older sessions, a shorter idle time is written with the next use."""
    value = store.kept(a=1)
    clock.advance(100)
    assert store.read(value, Terms(lifetime=100)).is_new
    session = store.read(value, Terms(idle=50))
    assert store.save(session) == value
    assert session.expires_at
    assert session.expires_at.timestamp() == clock() + 50


def test_a_session_of_another_cookie_is_not_ours(store: Store) -> None:
    """It reads as new, and is not written to."""
    session = store.read(None, Terms(owner_of("theirs")))
    session["a"] = 1
    value = store.save(session)
    ours = store.read(value, Terms(owner_of("ours")))
    assert ours.is_new
    ours["b"] = 2
    assert store.save(ours) not in (None, value)
    assert store.look(value) == {"a": 1}


@pytest.mark.parametrize("record", [b"", b"\x01", b"\x07abc", b"\x01\xc1", b"\x01" + b"x" * LIMIT])
def test_a_damaged_record_is_no_session(
    store: Store, record: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It reads as new, with a warning; a write starts a session of its own."""
    value = "B" * 40
    store.backend.backend.swap(key_of(value), None, record, 1000)
    session = store.read(value)
    assert session.is_new
    assert "absent" in caplog.text
    session["a"] = 1
    assert store.save(session) not in (None, value)


class Sweeping(Watched):
    """A backend that has something to remove and to release."""

    def sweep(self, limit: int) -> int:
        self.calls.append("sweep")
        return limit - 1

    def close(self) -> None:
        self.calls.append("close")


def test_sweeping_and_closing_are_the_backends(clock: Clock) -> None:
    """The storage passes them on, also to a backend in worker threads."""
    backend = Sweeping(clock)
    storage = KeyedStorage(backend, clock=clock)
    threaded = AsyncKeyedStorage(ThreadedBackend(backend), clock=clock)
    assert storage.sweep(limit=5) == 4
    assert asyncio.run(threaded.sweep(limit=5)) == 4
    storage.close()
    asyncio.run(threaded.close())
    assert backend.calls == ["sweep", "sweep", "close", "close"]


def test_a_backend_may_have_nothing_to_sweep_or_to_close(store: Store) -> None:
    """Then both do nothing."""
    threaded = AsyncKeyedStorage(ThreadedBackend(store.backend))
    assert store.plain.sweep() == 0
    store.plain.close()
    for storage in (store.other, threaded):
        assert asyncio.run(storage.sweep()) == 0
        asyncio.run(storage.close())
    assert store.backend.calls == []


class Minimal:
    """A backend of three methods, and nothing else."""

    def __init__(self, backend: MemoryBackend) -> None:
        self.get, self.swap, self.delete = backend.get, backend.swap, backend.delete


def test_three_methods_are_a_backend(clock: Clock) -> None:
    """One that says nothing of itself is taken to wait, and called in threads under ASGI."""
    storage = KeyedStorage(Minimal(MemoryBackend(max_records=9, clock=clock)), clock=clock)
    session = storage.read(None)
    session["a"] = 1
    value = storage.save(session)
    assert storage.waits
    assert storage.aio
    assert asyncio.run(storage.aio.read(value))["a"] == 1


def test_an_asynchronous_backend_in_the_plain_storage_is_refused(store: Store) -> None:
    """Its calls would return coroutines; the message names the storage for it."""
    with pytest.raises(ConfigurationError, match="AsyncKeyedStorage"):
        KeyedStorage(Awaited(store.backend))  # type: ignore[arg-type]


def test_nothing_shows_what_it_holds(store: Store) -> None:
    """Storages, sessions and drafts end up in logs."""
    value = store.kept(password="hunter2")
    session = store.read(value)
    for thing in (store.plain, store.other, session, session.draft, session.draft.log):
        assert "hunter2" not in repr(thing)
        assert value not in repr(thing)

"""Django: the promises of a session backend, and ours, over every kind of storage."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.test import override_settings

from coatcheck._session.ids import key_of
from coatcheck.testing import Clock
from tests.frameworks.django.stores import STORAGES, held
from tests.storage_kinds import storage_of


@pytest.mark.parametrize("kind", STORAGES)
def test_a_session_is_kept_changed_moved_and_ended(
    kind: str, request: pytest.FixtureRequest, clock: Clock, engine: Any
) -> None:
    """Every storage serves the plain methods: save, load, cycle_key, clear, flush."""
    with (
        storage_of(kind, request, clock) as made,
        override_settings(COATCHECK_STORAGE=made.storage),
    ):
        store = engine.SessionStore
        first = store()
        first["cart"] = ["tea"]
        first.save()
        key = first.session_key
        again = store(key)
        again["cart"].append("milk")
        assert again.modified
        again.save()
        again.cycle_key()
        assert not store(key).exists(key)
        assert held(store, again.session_key) == {"cart": ["tea", "milk"]}
        again.clear()
        again.save()
        assert store().exists(again.session_key)
        assert held(store, again.session_key) == {}
        key = again.session_key
        again.flush()
        assert not store().exists(key)
        assert again.is_empty()


@pytest.mark.parametrize("kind", [*STORAGES, "memcached", "redis-asyncio", "memcached-asyncio"])
def test_the_async_methods_do_the_same(
    kind: str, request: pytest.FixtureRequest, clock: Clock, engine: Any
) -> None:
    """Every storage serves the a… methods, in the event loop where it can."""

    async def visit(store: Any) -> None:
        first = store()
        await first.aset("cart", ["tea"])
        await first.asave()
        key = first.session_key
        again = store(key)
        (await again.aget("cart")).append("milk")
        assert await again.aapply("n", lambda n: n + 1, 0) == 1
        await again.asave()
        await again.acycle_key()
        assert not await again.aexists(key)
        assert await again.aexists(again.session_key)
        fresh = store(again.session_key)
        assert dict(await fresh.aitems()) == {"cart": ["tea", "milk"], "n": 1}
        await fresh.aset_expiry(60)
        assert await fresh.aget_expiry_age() == 60
        await fresh.aflush()
        assert not await fresh.aexists(again.session_key)
        await first.aclear_expired()
        made_storage = made.storage
        close = made.close or getattr(getattr(made_storage, "aio", None), "close", None)
        if close:
            await close()

    with (
        storage_of(kind, request, clock) as made,
        override_settings(COATCHECK_STORAGE=made.storage),
    ):
        asyncio.run(visit(engine.SessionStore))


def test_a_new_session_is_neither_modified_nor_accessed(store: Any) -> None:
    """Who does nothing with a session has neither read nor changed it."""
    session = store()
    assert not session.modified
    assert not session.accessed
    assert session.is_empty()
    assert session.get("cat") is None
    assert session.accessed
    assert not session.modified


@pytest.mark.parametrize(
    ("act", "modifies"),
    [
        (lambda s: s.pop("x"), True),
        (lambda s: s.pop("y", None), False),
        (lambda s: s.setdefault("x", 2), False),
        (lambda s: s.setdefault("y", 2), True),
        (lambda s: s.update({"y": 1}), True),
        (lambda s: s.clear(), True),
        (lambda s: "x" in s, False),
        (lambda s: list(s.items()), False),
        (lambda s: s.set_test_cookie(), True),
        (lambda s: s.test_cookie_worked(), False),
    ],
)
def test_what_modifies_a_session(store: Any, act: Callable[[Any], object], modifies: bool) -> None:
    """Changes do, reading does not; and both say that the response depends on it."""
    session = store()
    session["x"] = 1
    session.modified = session.accessed = False
    act(session)
    assert session.accessed
    assert session.modified is modifies


def test_saving_nothing_makes_a_session(store: Any) -> None:
    """An application that asks for a key gets one that exists, with nothing in it."""
    session = store()
    session.save()
    assert session.exists(session.session_key)
    other = store()
    other.create()
    assert other.exists(other.session_key) and other.session_key != session.session_key
    assert not session.exists(None)


def test_create_keeps_the_data_and_the_old_session(store: Any) -> None:
    """A new key for what the session holds; what lies under the old one stays as it was."""
    session = store()
    session["a"] = 1
    session.save()
    old = session.session_key
    session["b"] = 2
    session.create()
    assert held(store, old) == {"a": 1}
    assert held(store, session.session_key) == {"a": 1, "b": 2}


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("key", ["1", "", "x" * 40, "../../etc/passwd", "a" * 5000])
def test_a_key_that_was_not_issued_is_not_adopted(store: Any, key: str) -> None:
    """A client that makes a key up gets another one, and reading it writes nothing."""
    session = store(key)
    assert held(store, key) == {}
    session["x"] = 1
    session.save()
    assert session.session_key != key
    assert len(session.session_key) == 40
    assert not session.exists(key)


def test_the_storage_sees_no_key_of_djangos(store: Any, kept: Any) -> None:
    """It sees the SHA-256 of it."""
    session = store()
    session["x"] = 1
    session.save()
    assert kept.backend.get(session.session_key) is None
    assert kept.backend.get(key_of(session.session_key)) is not None


def test_must_create_does_not_overwrite(store: Any) -> None:
    """A session that exists is not created; data that was set before is kept with a new one."""
    session = store()
    session["x"] = 1
    session.save(must_create=True)
    assert held(store, session.session_key) == {"x": 1}
    with pytest.raises(CreateError):
        store(session.session_key).save(must_create=True)


def test_two_requests_keep_what_each_wrote(store: Any) -> None:
    """Django saves whole sessions; here two that race lose nothing, also not a count."""
    session = store()
    session["n"] = 0
    session.save()
    one, other = store(session.session_key), store(session.session_key)
    one["a"], other["b"] = 1, 2
    one.apply("n", lambda n: n + 1)
    other.apply("n", lambda n: n + 1)
    one.save()
    other.save()
    assert held(store, session.session_key) == {"n": 2, "a": 1, "b": 2}


@pytest.mark.parametrize("end", ["delete", "flush", "cycle_key"])
def test_a_session_that_is_gone_stays_gone(store: Any, end: str) -> None:
    """A save that comes after says so, and brings nothing back."""
    session = store()
    session["x"] = 1
    session.save()
    key = session.session_key
    late = store(key)
    late["x"] = 2
    getattr(session, end)()
    with pytest.raises(UpdateError):
        late.save()
    assert held(store, key) == {}
    with pytest.raises((UpdateError, SessionInterrupted)):
        late.save()


def test_cycling_the_key_of_a_session_that_is_gone_brings_nothing_back(store: Any) -> None:
    """A login that races a logout is answered like any other request that does."""
    session = store()
    session["x"] = 1
    session.save()
    late = store(session.session_key)
    assert late["x"] == 1
    session.flush()
    with pytest.raises(SessionInterrupted):
        late.cycle_key()


def test_a_second_sign_in_with_the_old_key_gets_a_session_of_its_own(store: Any) -> None:
    """It follows into nothing, and keeps what it wrote itself."""
    session = store()
    session["x"] = 1
    session.save()
    old = session.session_key
    session.cycle_key()
    second = store(old)
    assert dict(second.items()) == {}
    second["user"] = "ada"
    second.cycle_key()
    second["more"] = 1
    second.save()
    assert held(store, second.session_key) == {"user": "ada", "more": 1}
    assert held(store, session.session_key) == {"x": 1}


def test_clear_reads_nothing_and_holds(store: Any, kept: Any) -> None:
    """A session that was not read yet is cleared without a call, and stays under its key."""
    session = store()
    session["x"] = 1
    session.save()
    cleared = store(session.session_key)
    cleared.clear()
    cleared["y"] = [1]
    cleared["y"].append(2)
    cleared.save()
    assert cleared.session_key == session.session_key
    assert held(store, session.session_key) == {"y": [1, 2]}
    gone = store("x" * 40)
    gone.clear()
    gone["z"] = 1
    gone.save()
    assert held(store, gone.session_key) == {"z": 1}
    assert len(kept.backend) == 2

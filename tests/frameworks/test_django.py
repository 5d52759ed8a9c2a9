"""Django: the promises of a session backend, and ours, over every kind of storage."""

import asyncio
import importlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.core.management import call_command
from django.test import AsyncClient, Client, override_settings

from coatcheck import BackendError, UnstorableValue
from coatcheck._session.ids import key_of
from coatcheck.storage import CookieStorage, FileStorage, MemoryStorage, SqliteStorage
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.testing import Clock
from tests.frameworks.django_site import PAGES
from tests.storage_kinds import storage_of

DAY = 24 * 3600
STORAGES = ["memory", "file", "sqlite", "redis", "postgresql"]


@pytest.fixture
def engine() -> Any:
    """The engine's module, as the settings name it."""
    return importlib.import_module(settings.SESSION_ENGINE)


@pytest.fixture
def kept(clock: Clock) -> Iterator[Any]:
    """The storage of the site: in memory, under the test's clock."""
    storage = MemoryStorage(clock=clock)
    with override_settings(COATCHECK_STORAGE=storage):
        yield storage


@pytest.fixture
def store(engine: Any, kept: object) -> Any:
    """Makes a session, as the middleware does from a cookie's value."""
    assert kept
    return engine.SessionStore


def django_pages() -> Any:
    """The module of the pages: it can be imported once the site is set up."""
    return importlib.import_module(PAGES)


def held(store: Any, key: str | None) -> dict[str, Any]:
    return dict(store(key).items())


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


@pytest.mark.parametrize("key", ["1", "", "x" * 40, "../../etc/passwd", "a" * 5000])
def test_a_key_that_was_not_issued_is_not_adopted(store: Any, kept: Any, key: str) -> None:
    """A client that makes a key up gets another one, and reading it writes nothing."""
    session = store(key)
    assert held(store, key) == {}
    assert len(kept.backend) == 0
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


@pytest.mark.parametrize(
    ("expiry", "seconds"),
    [
        (None, settings.SESSION_COOKIE_AGE),
        (0, settings.SESSION_COOKIE_AGE),
        (600, 600),
        (30 * DAY, 30 * DAY),
    ],
)
def test_the_server_refuses_a_key_after_its_deadline(
    store: Any, clock: Clock, expiry: int | None, seconds: int
) -> None:
    """The deadline of the record is that of set_expiry, whoever copied the cookie."""
    session = store()
    session["x"] = 1
    session.set_expiry(expiry)
    session.save()
    clock.advance(seconds - 1)
    assert store(session.session_key).get("x") == 1
    clock.advance(2)
    assert store(session.session_key).get("x") is None
    assert not session.exists(session.session_key)


def test_a_date_is_a_deadline_and_a_date_in_the_past_is_an_end(store: Any, clock: Clock) -> None:
    """set_expiry takes a datetime; a save moves it no further."""
    session = store()
    session["x"] = 1
    session.set_expiry(datetime.fromtimestamp(clock() + 100, UTC))
    session.save()
    clock.advance(60)
    again = store(session.session_key)
    again["x"] = 2
    again.save()
    clock.advance(39)
    assert held(store, session.session_key)["x"] == 2
    clock.advance(2)
    assert held(store, session.session_key) == {}
    over = store()
    over["x"] = 1
    over.save()
    over.set_expiry(-timedelta(days=40_000))
    over.save()
    assert held(store, over.session_key) == {}


def test_a_save_moves_the_deadline(store: Any, clock: Clock) -> None:
    """As Django's cookie does, so that the two do not part."""
    session = store()
    session["x"] = 1
    session.save()
    clock.advance(13 * DAY)
    store_again = store(session.session_key)
    store_again.save()
    clock.advance(13 * DAY)
    assert held(store, session.session_key) == {"x": 1}


def test_another_cookies_session_is_none(store: Any) -> None:
    """Two applications that share a storage do not take each other's sessions."""
    session = store()
    session["x"] = 1
    session.save()
    with override_settings(SESSION_COOKIE_NAME="other"):
        assert held(store, session.session_key) == {}


def test_clearsessions_removes_what_expired(tmp_path: Path, clock: Clock, engine: Any) -> None:
    """Django's command sweeps a storage that does not do it by itself, to the end."""
    for storage in (
        SqliteStorage(tmp_path / "db", clock=clock),
        FileStorage(tmp_path / "files", clock=clock),
    ):
        with override_settings(COATCHECK_STORAGE=storage):
            for age in (60, 3600):
                for _ in range(30):
                    session = engine.SessionStore()
                    session.set_expiry(age)
                    session.save()
            clock.advance(100)
            call_command("clearsessions")
            assert storage.sweep(1_000_000) == 0
            assert session.exists(session.session_key)
        storage.close()


def test_a_value_that_no_record_holds_is_refused_by_name(store: Any) -> None:
    """Also one that was changed in place; nothing is written then."""
    session = store()
    with pytest.raises(UnstorableValue, match="'lock'"):
        session["lock"] = {1}
    session["cart"] = []
    session["cart"].append({1})
    with pytest.raises(UnstorableValue, match="'cart'"):
        session.save()


@pytest.mark.parametrize(
    ("storage", "says"),
    [
        (None, "COATCHECK_STORAGE is missing"),
        ("nowhere:", "a storage's URL begins with one of"),
        ("memory:?size=3", "'size' is no option"),
        ("cookie:", "cannot be a CookieStorage"),
        (CookieStorage(), "cannot be a CookieStorage"),
        (3, "is a int"),
    ],
)
def test_a_setting_that_makes_no_sense_is_told(engine: Any, storage: object, says: str) -> None:
    """The application does not start, and the message says what to write."""
    with (
        override_settings(COATCHECK_STORAGE=storage),
        pytest.raises(ImproperlyConfigured, match=says),
    ):
        importlib.reload(engine)


def test_an_asynchronous_storage_is_refused_under_wsgi(
    request: pytest.FixtureRequest, clock: Clock, engine: Any
) -> None:
    """Its connections live in an event loop, and WSGI has none."""
    with (
        storage_of("redis-asyncio", request, clock) as made,
        override_settings(COATCHECK_STORAGE=made.storage),
        pytest.raises(ImproperlyConfigured, match="WSGI"),
    ):
        engine.SessionStore("x" * 40).get("x")


def test_the_cookie_is_djangos(kept: object) -> None:
    """Its attributes come from the settings; who only looks gets none, and Vary says who looked."""
    assert kept
    client = Client()
    looked = client.get("/cart")
    assert looked["Vary"] == "Cookie"
    assert not looked.cookies
    assert not client.get("/nothing").has_header("Vary")
    with override_settings(SESSION_COOKIE_NAME="sid", SESSION_COOKIE_SECURE=True):
        morsel = client.get("/add/tea").cookies["sid"]
    assert morsel["secure"]
    assert morsel["httponly"]
    assert morsel["samesite"] == "Lax"
    assert morsel["max-age"] == settings.SESSION_COOKIE_AGE


def test_a_visit(kept: object) -> None:
    """A nested change needs no flag; flush ends the session; a failure saves nothing."""
    assert kept
    client = Client()
    assert client.get("/add/tea").json() == ["tea"]
    assert client.get("/add/milk").json() == ["tea", "milk"]
    assert client.get("/cart").json() == ["tea", "milk"]
    client.raise_request_exception = False
    client.get("/fail")
    assert client.get("/unstorable").status_code == 500
    assert "lost" not in client.session
    copied = client.cookies["sessionid"].value
    assert client.get("/out").cookies["sessionid"]["max-age"] == 0
    thief = Client(headers={"cookie": f"sessionid={copied}"})
    assert thief.get("/cart").json() is None


def test_the_request_of_a_session_that_ended_meanwhile_is_interrupted(store: Any) -> None:
    """The middleware answers 400 and sets no cookie."""
    session = store()
    session["x"] = 1
    session.save()
    client = Client(headers={"cookie": f"sessionid={session.session_key}"})
    session.cycle_key()
    answer = client.get("/add/tea")
    assert answer.status_code == 400
    assert not answer.cookies
    looked = client.get("/cart")
    assert looked.json() is None
    assert not looked.cookies  # the browser's new cookie stays


def test_a_request_that_only_reads_a_session_that_moved_is_no_error(store: Any) -> None:
    """A picture that is asked for while somebody signs in is served."""
    session = store()
    session["x"] = 1
    session.save()
    client = Client(headers={"cookie": f"sessionid={session.session_key}"})
    session.cycle_key()
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        assert client.get("/cart").status_code == 200


def test_an_outage_is_the_applications_to_answer(
    kept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`handler500` sees the error, and can answer 503; visitors without a cookie notice nothing."""

    def down(_: MemoryBackend, key: str) -> None:
        assert key
        raise BackendError("a server", "read")

    client = Client(raise_request_exception=False)
    client.get("/add/tea")
    monkeypatch.setattr(type(kept.backend), "get", down)
    assert client.get("/cart").status_code == 503
    assert Client().get("/cart").status_code == 200


@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis", "redis-asyncio"])
def test_fifty_requests_at_once_keep_fifty_keys(
    kind: str, request: pytest.FixtureRequest, clock: Clock
) -> None:
    """Each has read the session before any of them writes: nothing is lost, in ASGI's own way."""

    async def race(close: Any) -> None:
        client = AsyncClient()
        assert (await client.get("/async/count")).json() == 1
        cookies = client.cookies
        django_pages().Gathering.barrier = asyncio.Barrier(50)

        async def one(key: str) -> None:
            visitor = AsyncClient()
            visitor.cookies = cookies
            assert (await visitor.get(f"/async/together/{key}")).status_code == 200

        await asyncio.gather(*(one(f"k{n}") for n in range(50)))
        engine = importlib.import_module(settings.SESSION_ENGINE)
        session = engine.SessionStore(cookies["sessionid"].value)
        assert set(await session.akeys()) == {"n", *(f"k{n}" for n in range(50))}
        if close:
            await close()

    with (
        storage_of(kind, request, clock) as made,
        override_settings(COATCHECK_STORAGE=made.storage),
    ):
        asyncio.run(race(made.close))


def test_a_read_that_would_block_the_event_loop_is_refused(
    request: pytest.FixtureRequest, clock: Clock
) -> None:
    """As Django refuses it for its database; a storage that never waits may be read."""

    async def visit() -> None:
        client = AsyncClient()
        assert (await client.get("/async/count")).json() == 1
        with pytest.raises(SynchronousOnlyOperation):
            await client.get("/async/in-place")

    with (
        storage_of("redis", request, clock) as made,
        override_settings(COATCHECK_STORAGE=made.storage),
    ):
        asyncio.run(visit())


@pytest.mark.parametrize("kind", ["memory", "sqlite", "memcached-asyncio"])
def test_plain_and_async_code_share_a_session(
    kind: str, request: pytest.FixtureRequest, clock: Clock, engine: Any
) -> None:
    """What one form of the storage read, the other saves: as in an asynchronous view."""

    async def visit(store: Any) -> None:
        session = store()
        await session.aset("n", 0)
        await session.asave()
        awaited = store(session.session_key)
        await awaited.aset("n", 1)
        await asyncio.to_thread(awaited.save)
        plain = store(session.session_key)
        assert await asyncio.to_thread(plain.get, "n") == 1
        await plain.aset("n", 2)
        await plain.asave()
        assert await store(session.session_key).aget("n") == 2
        if made.close:
            await made.close()

    with (
        storage_of(kind, request, clock) as made,
        override_settings(COATCHECK_STORAGE=made.storage),
    ):
        asyncio.run(visit(engine.SessionStore))

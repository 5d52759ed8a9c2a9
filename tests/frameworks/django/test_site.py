"""Django: a site in requests, plain and async, its settings and its outages."""

import asyncio
import importlib
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.test import AsyncClient, Client, override_settings

from coatcheck import BackendError, UnstorableValue
from coatcheck.storage import CookieStorage
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.testing import Clock
from tests.frameworks.django.stores import django_pages, held
from tests.storage_kinds import storage_of


def test_another_cookies_session_is_none(store: Any) -> None:
    """Two applications that share a storage do not take each other's sessions."""
    session = store()
    session["x"] = 1
    session.save()
    with override_settings(SESSION_COOKIE_NAME="other"):
        assert held(store, session.session_key) == {}


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
        ("nowhere:", "the URL of a storage must begin with one of"),
        ("memory:?size=3", "option 1 is none of them"),
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


@pytest.mark.parametrize("way", ["session_key", "exists", "load"])
def test_a_glance_at_the_session_is_told_to_caches(kept: object, way: str) -> None:
    """Its key, and whether it is there, depend on the cookie: `Vary` says so, with a key or not."""
    assert kept
    client = Client()
    for _ in range(2):
        assert client.get(f"/glance/{way}")["Vary"] == "Cookie"
        client.get("/add/tea")


@pytest.mark.parametrize("way", ["exists", "load"])
def test_an_awaited_glance_is_told_to_caches(kept: object, way: str) -> None:
    """As a plain one."""
    assert kept
    assert asyncio.run(AsyncClient().get(f"/async/glance/{way}"))["Vary"] == "Cookie"


@pytest.mark.usefixtures("kept")
def test_a_visit() -> None:
    """A nested change needs no flag; flush removes cookie and record; a failure saves nothing."""
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

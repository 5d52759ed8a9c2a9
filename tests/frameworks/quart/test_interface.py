"""Quart: tests of an application, the options of the interface, and its end."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import quart

from coatcheck import CoatcheckWarning
from coatcheck.frameworks.quart import SessionInterface, cookie_from, session
from coatcheck.storage import CookieStorage, MemoryStorage, SessionStorage
from coatcheck.testing import Clock, SessionKit
from tests.frameworks.quart.pages import COOKIE, PAGES, application, names_of, play
from tests.frameworks.quart.sockets import cookie_of, read, talk


def test_session_transaction(storage: SessionStorage) -> None:
    """Quart's test client reads the session that it holds, and stores it back."""

    async def scene(client: Any) -> None:
        async with client.session_transaction() as held:
            assert held.new
            held["cart"] = ["coat"]
        assert await (await client.get("/add?item=hat")).json == ["coat", "hat"]
        async with client.session_transaction() as held:
            held.clear()
        assert await (await client.get("/cart")).json is None
        async with client.session_transaction() as held:
            assert dict(held) == {}

    play(application(storage, PAGES), scene)


def test_the_test_kit_speaks_to_quarts_client(storage: SessionStorage) -> None:
    """What `SessionKit` puts there `quart.session` finds, and the other way round."""
    kit = SessionKit(COOKIE, storage)

    async def scene(client: Any) -> None:
        async with kit.session(client) as held:
            held["cart"] = ["coat"]
        assert await (await client.get("/add?item=hat")).json == ["coat", "hat"]
        async with kit.session(client) as held:
            assert held["cart"] == ["coat", "hat"]

    play(application(storage, PAGES), scene)


def test_the_terms_are_the_ones_of_session() -> None:
    """idle, lifetime and refresh are carried through."""
    clock = Clock()

    async def scene(client: Any) -> None:
        await client.get("/add?item=coat")
        clock.advance(40)
        assert names_of(await client.get("/cart")) == []
        clock.advance(20)
        assert names_of(await client.get("/cart")) == ["session"]
        clock.advance(80)
        assert await (await client.get("/cart")).json == ["coat"]
        clock.advance(20)
        assert await (await client.get("/cart")).json is None

    storage = MemoryStorage(clock=clock)
    play(application(storage, PAGES, idle=100, lifetime=150, refresh=0.5), scene)


@dataclass
class Visit:
    cart: list[str] = field(default_factory=list)


def test_a_typed_session(storage: SessionStorage) -> None:
    """With data=Visit: `session.data` is one, also at a WebSocket."""

    async def chat() -> None:
        visit: Visit = session.data
        visit.cart.append("coat")
        await quart.websocket.send("bye")

    async def scene(_: Any) -> None:
        header = cookie_of(await talk(app, None))
        assert await read(app, header) == {"cart": ["coat"]}
        if not isinstance(storage, CookieStorage):
            await talk(app, header)
            assert await read(app, header) == {"cart": ["coat", "coat"]}

    app = application(storage, {"/ws": chat}, data=Visit)
    play(app, scene)


class Closed(CookieStorage):
    closed = 0

    async def close(self) -> None:
        self.closed += 1


def test_the_storage_is_closed_with_the_application() -> None:
    """By `app.after_serving(interface.close)`."""
    storage = Closed()

    async def scene(_: Any) -> None:
        assert storage.closed == 0

    play(application(storage), scene)
    assert storage.closed == 1


def test_quarts_own_settings_are_not_used() -> None:
    """Extensions that ask learn the name of the cookie that was given."""
    app = application(MemoryStorage(), PAGES)
    app.config.update(SESSION_COOKIE_NAME="theirs")
    assert app.session_interface.get_cookie_name(app) == "session"

    async def scene(client: Any) -> None:
        with pytest.warns(
            CoatcheckWarning, match="no effect.*: SESSION_COOKIE_NAME; .*cookie_from"
        ):
            assert names_of(await client.get("/add?item=coat")) == ["session"]
        assert names_of(await client.get("/add?item=coat")) == []

    play(app, scene)


def test_a_cookie_can_be_made_from_quarts_settings() -> None:
    """And then nothing is ignored."""
    app = application(MemoryStorage(), PAGES)
    app.config.update(
        SECRET_KEY="k" * 40, SESSION_COOKIE_NAME="theirs", PERMANENT_SESSION_LIFETIME=60
    )
    app.session_interface = SessionInterface(cookie_from(app), MemoryStorage())  # type: ignore[assignment] # see quart.md

    async def scene(client: Any) -> None:
        answer = await client.get("/add?item=coat")
        assert answer.headers["Set-Cookie"].startswith("theirs=")
        assert "Max-Age=60;" in answer.headers["Set-Cookie"]

    play(app, scene)

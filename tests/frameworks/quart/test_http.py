"""Quart: `quart.session` is a coatcheck session, in requests and their answers."""

import threading
from typing import Any

import pytest
import quart
from quart.sessions import SessionMixin

from coatcheck import Context, Session
from coatcheck.frameworks.quart import session
from coatcheck.storage import CookieStorage, MemoryStorage, SessionStorage
from coatcheck.storage.protocol import Powers
from tests.frameworks.quart.pages import PAGES, Page, application, names_of, play
from tests.frameworks.visits import ITEM


def test_a_visit(storage: SessionStorage) -> None:
    """Nothing is kept for who looks; a cart is filled, shown, kept through an error, and left."""

    async def template() -> str:
        return str(ITEM.render(session=quart.session))

    async def out() -> str:
        session.destroy()
        return ""

    async def scene(client: Any) -> None:
        answer = await client.get("/cart")
        assert await answer.json is None
        assert names_of(answer) == []
        assert await (await client.get("/add?item=coat")).json == ["coat"]
        assert await (await client.get("/add?item=hat")).json == ["coat", "hat"]
        shown = await (await client.get("/template")).get_data(as_text=True)
        assert shown == "cart=['coat', 'hat'];"
        failed = await client.get("/fail")
        assert failed.status_code == 500
        assert names_of(failed) == []
        async with client.session_transaction() as held:
            assert dict(held) == {"cart": ["coat", "hat"]}
        assert "Max-Age=0" in (await client.get("/out")).headers["Set-Cookie"]
        assert await (await client.get("/cart")).json is None

    play(application(storage, {**PAGES, "/template": template, "/out": out}), scene)


def test_quarts_session_is_the_session_itself(storage: SessionStorage) -> None:
    """Not a copy: `Session` and Quart's own type, with the members of both."""

    async def page() -> str:
        held = quart.session
        assert isinstance(held, Session)
        assert isinstance(held, SessionMixin)
        assert Context(dict(quart.request.scope)).get(Session) == held
        assert held.new
        held["cart"] = []
        assert held.modified
        held.modified = held.permanent = True
        held.flash("notice", "Saved.")
        await quart.flash("Sent.", "news")
        return ""

    async def again() -> str:
        assert session.permanent
        before = session.id
        session.regenerate_id()
        assert session.id != before
        messages = quart.get_flashed_messages(with_categories=True)
        return repr((session.get("notice"), messages))

    async def scene(client: Any) -> None:
        assert (await client.get("/")).status_code == 200
        answer = await client.get("/again")
        assert await answer.get_data(as_text=True) == repr(("Saved.", [("news", "Sent.")]))
        assert names_of(answer) == ["session"]
        answer = await client.get("/again")
        assert await answer.get_data(as_text=True) == repr((None, []))

    play(application(storage, {"/": page, "/again": again}), scene)


def test_a_response_that_depends_on_the_session_says_so() -> None:
    """One that does not carries none of our headers."""

    async def plain() -> quart.Response:
        response = quart.Response("")
        response.set_cookie("other", "1")
        return response

    async def own() -> quart.Response:
        session["user"] = "ada"
        response = quart.Response("", headers={"Vary": "Accept", "Cache-Control": "max-age=60"})
        response.set_cookie("other", "1")
        return response

    async def scene(client: Any) -> None:
        answer = await client.get("/plain")
        assert "Vary" not in answer.headers
        assert names_of(answer) == ["other"]
        assert (await client.get("/cart")).headers["Vary"] == "Cookie"
        answer = await client.get("/own")
        assert answer.headers.getlist("Vary") == ["Accept, Cookie"]
        assert answer.headers.getlist("Cache-Control") == ["max-age=60, private"]
        assert sorted(names_of(answer)) == ["other", "session"]

    play(application(MemoryStorage(), {"/plain": plain, "/own": own, **PAGES}), scene)


@pytest.mark.parametrize("answer", [lambda: quart.redirect("/cart"), lambda: quart.abort(404)])
def test_every_kind_of_answer_saves(storage: SessionStorage, answer: Page) -> None:
    """An error below 500 is a response of Werkzeug's, not of Quart's."""

    async def sign_in() -> Any:
        session["cart"] = ["coat"]
        return answer()

    async def scene(client: Any) -> None:
        assert names_of(await client.get("/in")) == ["session"]
        assert await (await client.get("/cart")).json == ["coat"]

    play(application(storage, {"/in": sign_in, **PAGES}), scene)


class Noted(CookieStorage):
    """A storage that notes in which thread it is called."""

    threads: list[int]

    def read(self, value: str | None) -> Session:
        if value:
            self.threads.append(threading.get_ident())
        return super().read(value)

    def save(self, session: Session) -> str | None:
        self.threads.append(threading.get_ident())
        return super().save(session)


@pytest.mark.parametrize("waits", [True, False])
def test_a_storage_that_waits_is_called_in_a_thread(waits: bool) -> None:
    """One that says it never does is called in place."""
    noted = Noted()
    noted.powers, noted.threads = Powers(waits=waits, starts_empty=True), []

    async def scene(client: Any) -> None:
        await client.get("/add?item=coat")
        await client.get("/add?item=hat")

    play(application(noted, PAGES), scene)
    assert len(noted.threads) == 3
    assert {thread == threading.get_ident() for thread in noted.threads} == {not waits}

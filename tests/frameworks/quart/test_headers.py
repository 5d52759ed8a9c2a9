"""Quart: what the session says in the headers, beside other sessions and other cookies."""

import asyncio
from typing import Any

import pytest
import quart
from quart.testing.connections import WebsocketResponseError

from coatcheck import Context, Cookie, Session
from coatcheck import session as session_of_asgi
from coatcheck._request.async_shell import AsyncShell
from coatcheck._request.visit import Answer, Changes
from coatcheck.storage import MemoryStorage
from coatcheck.testing import Clock
from tests.frameworks.quart.pages import PAGES, application, names_of, play
from tests.hosts import SECRET


def test_an_outer_session_of_another_cookie_goes_on() -> None:
    """A middleware around the application has a session of its own, and both are saved."""

    async def found() -> str:
        here = Context(dict(quart.request.scope)).get(Session)
        return str(here is quart.session._get_current_object())  # type: ignore[attr-defined]

    app = application(MemoryStorage(), {**PAGES, "/found": found})
    outer = session_of_asgi(Cookie("outer", secrets=[SECRET], secure=False), MemoryStorage())
    inner = app.asgi_app

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["visits"] = True
        await inner(scope, receive, send)

    app.asgi_app = outer(counting)  # type: ignore[method-assign, assignment]

    async def scene(client: Any) -> None:
        answer = await client.get("/add?item=coat")
        assert await answer.json == ["coat"]
        assert sorted(names_of(answer)) == ["outer", "session"]
        assert await (await client.get("/found")).get_data() == b"True"

    # The middleware knows no lifespan, so the application is not started here.
    asyncio.run(scene(app.test_client()))


def test_a_session_that_nothing_touched_overwrites_no_cookie() -> None:
    """A response that sets our cookie already comes from an inner application, which knows more."""
    clock = Clock()

    async def inner() -> quart.Response:
        return quart.Response("", headers={"Set-Cookie": "session=; Max-Age=0"})

    async def scene(client: Any) -> None:
        await client.get("/add?item=coat")
        clock.advance(200)  # a refresh is due
        lines = (await client.get("/inner")).headers.getlist("Set-Cookie")
        assert lines == ["session=; Max-Age=0"]

    play(application(MemoryStorage(clock=clock), {**PAGES, "/inner": inner}, idle=1000), scene)


def test_every_change_of_the_headers_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several cookies, and headers of any name."""
    app = application(MemoryStorage(), PAGES)

    async def leave(*_: object, **__: object) -> Changes:
        return Changes(True, True, ("a=1", "b=2"), (("X-More", "1"),))

    monkeypatch.setattr(AsyncShell, "leave", leave)

    async def scene(client: Any) -> None:
        headers = (await client.get("/cart")).headers
        assert headers.getlist("Set-Cookie") == ["a=1", "b=2"]
        found = [headers[name] for name in ("Vary", "Cache-Control", "X-More")]
        assert found == ["Cookie", "private", "1"]

    play(app, scene)


@pytest.mark.parametrize("path", ["/add?item=coat", "/ws"])
def test_an_answer_is_sent_in_place_of_the_applications(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No handler or hook before it runs, and no error handler sees it."""
    ran: list[str] = []

    async def page() -> None:
        ran.append("handler")

    app = application(MemoryStorage(), {**PAGES, "/ws": page})
    app.before_request(lambda: ran.append("hook"))
    app.register_error_handler(503, lambda _: "handled")

    async def answer(*_: object) -> Answer:
        return Answer(503, (("Retry-After", "5"), ("Content-Type", "text/plain")), b"later")

    monkeypatch.setattr(AsyncShell, "read", answer)

    async def scene(client: Any) -> None:
        if path == "/ws":
            with pytest.raises(WebsocketResponseError) as refused:
                async with client.websocket(path) as socket:
                    await socket.receive()
            got = refused.value.response
        else:
            got = await client.get(path)
        assert (got.status_code, got.headers["Retry-After"]) == (503, "5")
        assert await got.get_data() == b"later"
        assert names_of(got) == []

    play(app, scene)
    assert ran == []


def test_repr_changes_nothing() -> None:
    """A log line or a debugger does not make the response depend on the cookie."""

    async def page() -> str:
        return repr(quart.session)

    async def scene(client: Any) -> None:
        for _ in range(2):
            answer = await client.get("/")
            assert "coat" not in await answer.get_data(as_text=True)
            assert "Vary" not in answer.headers
            assert names_of(answer) == []
            await client.get("/add?item=coat")

    play(application(MemoryStorage(), {**PAGES, "/": page}), scene)

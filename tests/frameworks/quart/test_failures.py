"""Quart: what must not happen, and servers that fail."""

import logging
from typing import Any

import pytest
import quart
from quart.testing.connections import WebsocketResponseError

from coatcheck import BackendError, ConfigurationError, Cookie, UnstorableValue
from coatcheck import session as session_of_asgi
from coatcheck.frameworks.quart import SessionInterface, session
from coatcheck.storage import KeyedStorage, MemoryStorage
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.storage.clock import system_clock
from tests.frameworks.quart.pages import COOKIE, NAME, PAGES, application, names_of, play
from tests.hosts import SECRET


def test_two_middlewares_on_one_request_are_refused() -> None:
    """session() around the application, beside the interface, is a mistake that is told."""
    app = application(MemoryStorage(), PAGES)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    app.asgi_app = session_of_asgi(COOKIE, MemoryStorage())(app.asgi_app)  # type: ignore[method-assign, arg-type, assignment]

    async def scene(client: Any) -> None:
        with pytest.raises(ConfigurationError, match="runs twice"):
            await client.get("/cart")

    play(app, scene)


def test_a_session_that_was_replaced_is_not_saved() -> None:
    """What an extension puts in its place would be lost, so nothing is sent."""
    app = application(MemoryStorage(), PAGES)
    app.config["PROPAGATE_EXCEPTIONS"] = True

    @app.after_request
    async def replace(response: quart.Response) -> quart.Response:
        quart.globals.request_ctx.session = {"user": 1}  # type: ignore[assignment]
        return response

    async def scene(client: Any) -> None:
        with pytest.raises(ConfigurationError, match="something replaced"):
            await client.get("/cart")

    play(app, scene)


def test_a_value_that_cannot_be_stored_answers_500() -> None:
    """The page of the error is sent without a session, and nothing else of it is kept."""

    async def page() -> str:
        session["cart"] = held = ["coat"]
        held.append(object())  # type: ignore[arg-type]
        return ""

    app = application(MemoryStorage(), {**PAGES, "/page": page})

    @app.errorhandler(500)
    async def failed(error: Any) -> tuple[str, int]:
        assert type(error.original_exception) is UnstorableValue
        return "sorry", 500

    async def scene(client: Any) -> None:
        answer = await client.get("/page")
        assert (answer.status_code, await answer.get_data(as_text=True)) == (500, "sorry")
        assert answer.headers["Vary"] == "Cookie"
        assert names_of(answer) == []
        assert await (await client.get("/cart")).json is None

    play(app, scene)


def test_an_error_after_the_save_loses_no_new_id() -> None:
    """The record lies under the new id already, so the page of the error carries it."""

    async def sign_in() -> str:
        session["cart"] = ["coat"]
        session.regenerate_id()
        return ""

    app = application(MemoryStorage(), {**PAGES, "/in": sign_in})

    async def fail(_: quart.Quart, **__: object) -> None:
        raise LookupError

    @app.teardown_request
    async def late(_: BaseException | None) -> None:
        if quart.request.path == "/in":
            session["late"] = True

    async def scene(client: Any) -> None:
        await client.get("/add?item=hat")
        with quart.request_finished.connected_to(fail, app):
            answer = await client.get("/in")
        async with client.session_transaction() as held:
            assert held["late"]
        assert answer.status_code == 500
        assert names_of(answer) == ["session"]
        assert await (await client.get("/cart")).json == ["coat"]

    play(app, scene)


def test_a_cookie_that_browsers_lose_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """As by the middleware: Secure, over plain http."""
    caplog.set_level(logging.WARNING, "coatcheck")
    app = application(MemoryStorage(), PAGES)
    secure = SessionInterface(Cookie("session", secrets=[SECRET]), MemoryStorage())
    app.session_interface = secure  # type: ignore[assignment] # as above

    async def scene(client: Any) -> None:
        await client.get("/add?item=coat", headers={"host": "example.org"})

    play(app, scene)
    assert "cookie 'session' will be lost: it is Secure" in caplog.text


class Down(MemoryBackend):
    """A server that takes no reads, or no writes."""

    def __init__(self) -> None:
        super().__init__(max_records=10, clock=system_clock)
        self.reads = self.writes = True

    def get(self, key: str) -> Any:
        if not self.reads:
            raise BackendError("the server", "read")
        return super().get(key)

    def swap(self, *given: Any) -> Any:
        if not self.writes:
            raise BackendError("the server", "write")
        return super().swap(*given)


@pytest.mark.parametrize("fails", ["reads", "writes"])
def test_a_store_that_is_down_is_for_the_application_to_answer(
    fails: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its handler of status 500 gets the error, whether a read failed or a save."""
    caplog.set_level(logging.ERROR, NAME)
    backend = Down()
    app = application(KeyedStorage(backend), PAGES)

    @app.errorhandler(500)
    async def failed(error: Any) -> tuple[str, int]:
        assert isinstance(error.original_exception, BackendError)
        return "later", 503

    async def scene(client: Any) -> None:
        await client.get("/add?item=coat")
        setattr(backend, fails, False)
        assert (await client.get("/add?item=hat")).status_code == 503
        assert (await client.get("/cart")).status_code == (503 if fails == "reads" else 200)
        logged = {record.getMessage() for record in caplog.records if record.name == NAME}
        assert "Request finalizing errored" not in logged
        with pytest.raises(BackendError):
            async with client.session_transaction() as held:
                held["cart"] = ["lost"]
        setattr(backend, fails, True)
        assert await (await client.get("/cart")).json == ["coat"]

    play(app, scene)


def test_a_websocket_is_refused_while_the_store_is_down() -> None:
    """Its handler does not run."""
    backend = Down()
    ran: list[str] = []

    async def page() -> None:
        ran.append(str(session.get("cart")))
        await quart.websocket.send("hello")

    app = application(KeyedStorage(backend), {**PAGES, "/ws": page})

    async def scene(client: Any) -> None:
        await client.get("/add?item=coat")
        async with client.websocket("/ws") as socket:
            assert await socket.receive() == "hello"
        backend.reads = False
        with pytest.raises(WebsocketResponseError) as refused:
            async with client.websocket("/ws") as socket:
                await socket.receive()
        assert refused.value.response.status_code == 500

    play(app, scene)
    assert ran == ["['coat']"]


def test_an_outage_may_be_served_without_sessions() -> None:
    """With on_outage="anonymous": an empty session that is never written."""
    backend = Down()

    async def scene(client: Any) -> None:
        await client.get("/add?item=coat")
        backend.reads = False
        answer = await client.get("/add?item=hat")
        assert await answer.json == ["hat"]
        assert names_of(answer) == []
        backend.reads = True
        assert await (await client.get("/cart")).json == ["coat"]

    play(application(KeyedStorage(backend), PAGES, on_outage="anonymous"), scene)


def test_an_application_with_other_sessions_is_left_alone() -> None:
    """Quart's signals tell of every application of the process."""
    mine = application(MemoryStorage(), PAGES)
    other = quart.Quart(NAME)
    other.secret_key = "a key"

    @other.get("/")
    async def page() -> str:
        quart.session["user"] = "ada"
        return ""

    async def talk() -> None:
        await quart.websocket.send("hello")

    other.add_websocket("/ws", "ws", talk)

    async def scene(client: Any) -> None:
        assert (await client.get("/")).status_code == 200
        async with client.websocket("/ws") as socket:
            assert await socket.receive() == "hello"

    play(other, scene)
    assert mine.session_interface

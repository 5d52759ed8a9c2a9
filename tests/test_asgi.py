"""The asynchronous shell, message by message."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from coatcheck import (
    BackendError,
    ConfigurationError,
    Context,
    Cookie,
    ResponseStarted,
    Session,
    UnstorableValue,
    asgi,
    session,
)
from coatcheck.asgi import SessionMiddleware
from coatcheck.storage import (
    AsyncKeyedStorage,
    CookieStorage,
    KeyedStorage,
    MemoryStorage,
    Refused,
    SessionStorage,
    Stored,
)
from coatcheck.storage.keyed import key_of, system_clock
from coatcheck.storage.memory import MemoryBackend
from coatcheck.testing import Clock
from tests.fronts import COOKIE, Sent, asgi_app, ask_asgi, nothing_received, scope_of

START = {"type": "http.response.start", "status": 200, "headers": []}
END = {"type": "http.response.body", "body": b""}

ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close"}


def fill(storage: SessionStorage, **values: Any) -> str:
    """Return the Cookie header of a session that holds *values*."""
    stored = storage.read(None)
    assert isinstance(stored, Session)
    stored.update(values)
    value = storage.save(stored)
    assert isinstance(value, str)
    return COOKIE.serialize(value).partition(";")[0]


def look(storage: SessionStorage, header: str | None) -> Session:
    """Return what is stored for a Cookie header."""
    stored = storage.read(COOKIE.parse(header))
    assert isinstance(stored, Session)
    return stored


def run(app: asgi.ASGIApp, scope: asgi.Scope, storage: SessionStorage) -> Sent:
    """Serve one request of *app* with sessions."""
    sent = Sent()
    asyncio.run(session(COOKIE, storage)(app)(scope, nothing_received, sent))
    return sent


def answers(*steps: Callable[[Session], object]) -> asgi.ASGIApp:
    """Return an application that does *steps*: before the headers leave, after, after that..."""

    async def app(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
        steps[0](scope["session"])
        await send(START)
        for step in steps[1:]:
            step(scope["session"])
        await send(END)

    return app


def connection(cookie: str | None = None) -> dict[str, Any]:
    """Return the scope of a WebSocket."""
    return {**scope_of(cookie), "type": "websocket"}


def speaks(*steps: Callable[[Session], object] | dict[str, Any]) -> asgi.ASGIApp:
    """Return an application at a WebSocket that sends messages and works on the session in turn."""

    async def app(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
        for step in steps:
            if isinstance(step, dict):
                await send(step)
            else:
                step(scope["session"])

    return app


def sets(**values: Any) -> Callable[[Session], object]:
    """Return a step that sets these values."""
    return lambda session: session.update(values)


def touches(session: Session) -> None:
    session.get("anything")


def ignores(_: Session) -> None:
    return None


@pytest.fixture
def memory() -> KeyedStorage:
    """A storage that never waits."""
    return MemoryStorage()


# What is no request


@pytest.mark.parametrize("kind", ["lifespan", "something.new"])
def test_other_scopes_pass_through_untouched(memory: KeyedStorage, kind: str) -> None:
    """The application gets the very scope, receive and send of the server, and no session."""
    seen: list[object] = []

    async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        seen.extend([scope, receive, send])

    scope, sent = {"type": kind}, Sent()
    asyncio.run(session(COOKIE, memory)(app)(scope, nothing_received, sent))
    assert seen[0] is scope
    assert seen[1:] == [nothing_received, sent]
    assert scope == {"type": kind}


# The session in its place


def test_the_session_is_in_the_scope_and_in_the_context(memory: KeyedStorage) -> None:
    """`scope["session"]` and `context.get(Session)` are one; the server's scope stays as it was."""

    async def app(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
        assert Context(scope).get(Session) is scope["session"]
        await send(START)

    scope = scope_of()
    run(app, scope, memory)
    assert scope == scope_of()


def test_a_cookie_in_several_fields_is_found(memory: KeyedStorage) -> None:
    """HTTP/2 may split the Cookie header into crumbs (RFC 9113, 8.2.3)."""
    name, value = fill(memory, user=1).encode().split(b"=", 1)
    crumbs = [(b"cookie", b"a=1"), (b"cookie", name + b"=" + value), (b"cookie", b"b=2")]
    scope = {**scope_of(), "headers": crumbs}
    seen: list[object] = []
    run(answers(lambda session: seen.append(session.get("user"))), scope, memory)
    assert seen == [1]


def test_a_middleware_runs_once_a_request(memory: KeyedStorage) -> None:
    """session() inside session() is refused."""
    inner = session(COOKIE, memory)(answers(ignores))
    with pytest.raises(ConfigurationError, match="runs twice"):
        run(inner, scope_of(), memory)


def test_a_foreign_session_around_ours_is_refused(memory: KeyedStorage) -> None:
    """A session that another middleware put there is not overwritten."""
    with pytest.raises(ConfigurationError, match="beside another session middleware"):
        run(answers(ignores), scope_of(None, {"session": {}}), memory)


def test_a_foreign_session_within_ours_is_refused(memory: KeyedStorage) -> None:
    """What replaced our session would not be saved, so nothing is sent."""

    async def app(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
        scope["session"] = {"user": 1}
        await send(START)

    with pytest.raises(ConfigurationError, match="something replaced 'session'"):
        run(app, scope_of(), memory)


def test_a_session_that_was_taken_away_is_missed(memory: KeyedStorage) -> None:
    """Deleting `scope["session"]` is replacing it."""

    async def app(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
        del scope["session"]
        await send(START)

    with pytest.raises(ConfigurationError, match="something replaced"):
        run(app, scope_of(), memory)


def test_a_storage_that_reads_no_session_is_refused() -> None:
    """The error names the storage and what it returned."""

    class Dicts:
        waits = False

        def read(self, _: str | None) -> dict[str, object]:
            return {}

        def save(self, _: Session) -> None:
            raise AssertionError

    class AsyncDicts(Dicts):
        async def read(self, _: str | None) -> dict[str, object]:  # type: ignore[override]
            return {}

    with pytest.raises(ConfigurationError, match=r"AsyncDicts.read returned dict, no Session"):
        run(answers(ignores), scope_of(), AsyncDicts())  # type: ignore[arg-type]


# Before and after the headers


def test_the_session_is_saved_before_the_first_byte_leaves(memory: KeyedStorage) -> None:
    """When the client gets the cookie, the record is there."""
    app = session(COOKIE, memory)(answers(sets(user=1)))

    async def send(message: asgi.Message) -> None:
        if message["type"] == "http.response.start":
            header = dict(message["headers"])[b"set-cookie"].decode()
            assert look(memory, header.partition(";")[0])["user"] == 1

    asyncio.run(app(scope_of(), nothing_received, send))


def test_a_late_change_is_saved_where_the_client_holds_the_id(memory: KeyedStorage) -> None:
    """A new value, a flash, a nested change, after the headers."""
    header = fill(memory, cart=[])

    def late(session: Session) -> None:
        session["cart"].append("coat")
        session.flash("notice", "Saved.")

    sent = run(answers(ignores, sets(user=1), late), scope_of(header), memory)
    assert sent.answer.all("set-cookie") == []
    stored = look(memory, header)
    assert dict(stored) == {"user": 1, "cart": ["coat"]}
    assert stored.get("notice") == "Saved."


def test_changes_before_and_after_the_headers_are_both_saved(memory: KeyedStorage) -> None:
    """The second save builds on the first, and repeats nothing of it."""
    header = fill(memory, n=0)

    def count(session: Session) -> None:
        session.apply("n", lambda n: n + 1)

    run(answers(count, count, count), scope_of(header), memory)
    assert look(memory, header)["n"] == 3


def test_a_new_session_goes_on_after_its_headers(memory: KeyedStorage) -> None:
    """Once the response has handed out the id, it can be saved under it."""
    sent = run(answers(sets(user=1), sets(late=2)), scope_of(), memory)
    header = sent.answer.all("set-cookie")[0].partition(";")[0]
    assert dict(look(memory, header)) == {"user": 1, "late": 2}


def test_a_late_destroy_removes_the_record(memory: KeyedStorage) -> None:
    """The cookie stays in the browser, and leads nowhere."""
    header = fill(memory, user=1)
    run(answers(touches, lambda session: session.destroy()), scope_of(header), memory)
    assert look(memory, header).is_new


def test_a_late_new_id_is_refused(memory: KeyedStorage) -> None:
    """It could not reach the client, who would be signed out."""
    header = fill(memory, user=1)
    with pytest.raises(ResponseStarted, match="regenerate_id"):
        run(answers(touches, lambda session: session.regenerate_id()), scope_of(header), memory)
    assert look(memory, header)["user"] == 1


@pytest.mark.parametrize("before", [ignores, touches])
def test_a_late_change_of_a_new_session_is_loud(
    memory: KeyedStorage, before: Callable[[Session], object]
) -> None:
    """The client holds no id, and gets none any more: the line that changes raises."""
    with pytest.raises(ResponseStarted, match=r"set\(\) came after the response had started"):
        run(answers(before, lambda session: Session.set(session, "user", 1)), scope_of(), memory)


def test_a_late_change_in_a_cookie_is_loud() -> None:
    """The cookie has left; reading goes on working."""
    storage = CookieStorage()
    header = fill(storage, user=1, cart=[])
    seen: list[object] = []
    run(answers(ignores, lambda session: seen.append(session["user"])), scope_of(header), storage)
    assert seen == [1]
    for late in (sets(user=2), lambda session: session.destroy()):
        with pytest.raises(ResponseStarted):
            run(answers(touches, late), scope_of(header), storage)


def test_a_late_change_inside_a_value_in_a_cookie_is_loud_at_the_end() -> None:
    """No line of ours runs when a list grows; the end of the request tells."""
    storage = CookieStorage()
    header = fill(storage, cart=[])
    with pytest.raises(ResponseStarted):
        run(answers(touches, lambda session: session["cart"].append(1)), scope_of(header), storage)


def test_reading_a_flash_late_consumes_it_or_is_loud(memory: KeyedStorage) -> None:
    """A flash that is read is gone, so reading it is a change."""
    for storage in (memory, CookieStorage()):
        stored = storage.read(None)
        stored.flash("notice", "Saved.")
        value = storage.save(stored)
        assert value
        header = COOKIE.serialize(value).partition(";")[0]
        app = answers(touches, lambda session: session["notice"])
        if storage is memory:
            run(app, scope_of(header), storage)
            assert look(storage, header).get("notice") is None
        else:
            with pytest.raises(ResponseStarted, match="reading a flash"):
                run(app, scope_of(header), storage)


# What goes wrong


def raises(_: Session) -> None:
    raise LookupError("in the handler")


@pytest.mark.parametrize("headers", ["before", "after"])
def test_a_handler_that_raises_saves_nothing(memory: KeyedStorage, headers: str) -> None:
    """Before the headers or after them: no change is kept, no flash consumed, no record made."""
    stored = memory.read(None)
    stored.flash("notice", "Saved.")
    value = memory.save(stored)
    assert value
    header = COOKIE.serialize(value).partition(";")[0]

    def work(session: Session) -> None:
        assert session.get("notice") == "Saved."
        session["user"] = 1
        raise LookupError

    steps = [work] if headers == "before" else [touches, work]
    with pytest.raises(LookupError):
        run(answers(*steps), scope_of(header), memory)
    stored = look(memory, header)
    assert stored.get("notice") == "Saved."
    assert "user" not in stored


@pytest.mark.parametrize("status", [500, 503])
def test_an_error_page_saves_nothing(memory: KeyedStorage, status: int) -> None:
    """Frameworks turn what a handler raised into a page: nothing is kept, no flash is consumed."""
    stored = memory.read(None)
    stored.flash("notice", "Saved.")
    stored["cart"] = []
    value = memory.save(stored)
    assert value
    header = COOKIE.serialize(value).partition(";")[0]

    async def app(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
        assert scope["session"].get("notice") == "Saved."
        scope["session"]["cart"].append("coat")
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send(END)

    sent = run(app, scope_of(header), memory)
    assert sent.answer.headers == [("vary", "Cookie")]
    stored = look(memory, header)
    assert (stored.get("notice"), stored["cart"]) == ("Saved.", [])


def test_a_page_about_a_replaced_session_is_sent(memory: KeyedStorage) -> None:
    """The error was told; the page about it has nothing to lose."""

    async def app(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
        scope["session"] = {}
        with pytest.raises(ConfigurationError):
            await send(START)
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send(END)

    assert run(app, scope_of(), memory).answer.status == 500


class Failing:
    """A storage whose server is down when it is to save; it counts the attempts."""

    waits = False
    saves_late = True

    def __init__(self) -> None:
        self.attempts = 0

    def read(self, value: str | None) -> Session:
        return Session({"user": 1}, id="id") if value else Session()

    def save(self, _: Session) -> str | None:
        self.attempts += 1
        raise BackendError("the server", "write")


def test_the_answer_to_a_failed_save_passes_without_another() -> None:
    """An error handler that answers 503 is sent as it is: the save is not tried again."""
    storage = Failing()

    async def app(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
        scope["session"]["user"] = 2
        try:
            await send(START)
        except BackendError:
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send(END)

    sent = run(app, scope_of("__session=" + COOKIE.serialize("id").split("=", 1)[1]), storage)
    assert (sent.answer.status, storage.attempts) == (503, 1)
    assert sent.answer.headers == [("vary", "Cookie")]


def test_a_change_after_a_failed_save_is_loud() -> None:
    """Nothing would keep it."""

    async def app(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
        scope["session"]["user"] = 2
        with pytest.raises(BackendError):
            await send(START)
        scope["session"]["user"] = 3

    with pytest.raises(ResponseStarted):
        run(app, scope_of(), Failing())


def test_a_value_that_became_unstorable_is_found_before_anything_is_sent(
    memory: KeyedStorage,
) -> None:
    """A set inside a list is found when the headers are about to leave."""
    header = fill(memory, cart=[])
    sent = Sent()
    app = session(COOKIE, memory)(answers(lambda session: session["cart"].append({1})))
    with pytest.raises(UnstorableValue, match="'cart'"):
        asyncio.run(app(scope_of(header), nothing_received, sent))
    assert sent.messages == []
    assert look(memory, header)["cart"] == []


def test_a_request_that_never_answers_saves_nothing(memory: KeyedStorage) -> None:
    """Without headers there is nothing that hands out a cookie; the server answers 500."""

    async def app(scope: asgi.Scope, *_: object) -> None:
        scope["session"]["user"] = 1

    header = fill(memory, user=0)
    assert run(app, scope_of(header), memory).messages == []
    assert look(memory, header)["user"] == 0


# WebSockets


def test_a_websocket_reads_the_session(memory: KeyedStorage) -> None:
    """The cookie comes with the handshake."""
    seen: list[object] = []
    header = fill(memory, user=1)
    app = speaks(lambda session: seen.append(session["user"]), ACCEPT, CLOSE)
    sent = run(app, connection(header), memory)
    assert seen == [1]
    assert sent.messages == [{**ACCEPT, "headers": [(b"vary", b"Cookie")]}, CLOSE]


def test_a_websocket_gets_its_cookie_on_accept(memory: KeyedStorage) -> None:
    """The headers of the handshake's answer carry it, beside those of the application."""
    own = (b"sec-websocket-protocol", b"chat")
    app = speaks(sets(user=1), {**ACCEPT, "headers": [own]}, sets(late=2), CLOSE)
    accept, close = run(app, connection(), memory).messages
    headers = dict(accept["headers"])
    assert headers[own[0]] == own[1]
    header = headers[b"set-cookie"].decode().partition(";")[0]
    assert dict(look(memory, header)) == {"user": 1, "late": 2}
    assert close == CLOSE


def test_changes_at_a_websocket_are_saved_when_it_closes(memory: KeyedStorage) -> None:
    """What a connection did is one save, at its end."""
    header = fill(memory, user=1)
    run(speaks(ACCEPT, touches, sets(late=2), CLOSE), connection(header), memory)
    assert dict(look(memory, header)) == {"user": 1, "late": 2}


def test_a_rejected_websocket_saves_what_it_can(memory: KeyedStorage) -> None:
    """Closed before it was accepted: no headers, but the client holds the id."""
    header = fill(memory, user=1)
    assert run(speaks(sets(late=2), CLOSE), connection(header), memory).messages == [CLOSE]
    assert dict(look(memory, header)) == {"user": 1, "late": 2}


def test_a_rejected_websocket_can_sign_out(memory: KeyedStorage) -> None:
    """The record goes, although the cookie cannot."""
    header = fill(memory, user=1)
    run(speaks(lambda session: session.destroy(), CLOSE), connection(header), memory)
    assert look(memory, header).is_new


def test_a_rejected_websocket_is_loud_where_nothing_can_be_saved(memory: KeyedStorage) -> None:
    """A new session, or one in a cookie, has no headers to leave with."""
    with pytest.raises(ResponseStarted, match="never accepted"):
        run(speaks(sets(user=1), CLOSE), connection(), memory)
    cookies = CookieStorage()
    with pytest.raises(ResponseStarted, match="never accepted"):
        run(speaks(sets(user=2), CLOSE), connection(fill(cookies, user=1)), cookies)


def test_a_rejected_websocket_gives_no_new_id(memory: KeyedStorage) -> None:
    """The new id would reach nobody, and the visitor would be signed out."""
    header = fill(memory, user=1)
    app = speaks(lambda session: session.regenerate_id(), CLOSE)
    with pytest.raises(ResponseStarted, match="never accepted"):
        run(app, connection(header), memory)
    assert look(memory, header)["user"] == 1


def test_a_rejected_websocket_that_changed_nothing_is_quiet(memory: KeyedStorage) -> None:
    """Whether it looked at the session or not, and also when the session is due for a refresh."""
    for step in (ignores, touches):
        assert run(speaks(step, CLOSE), connection(), memory).messages == [CLOSE]
    clock = Clock()
    storage = CookieStorage(clock=clock)
    header = fill(storage, user=1)
    clock.advance(7 * 24 * 3600)
    assert run(speaks(touches, CLOSE), connection(header), storage).messages == [CLOSE]


def test_a_websocket_may_be_denied_with_a_response(memory: KeyedStorage) -> None:
    """The denial's headers carry the cookie (ASGI, websocket.http.response)."""
    denial = {"type": "websocket.http.response.start", "status": 403, "headers": []}
    (start,) = run(speaks(sets(user=1), denial), connection(), memory).messages
    assert b"set-cookie" in dict(start["headers"])


async def hung_up() -> asgi.Message:
    """Receive that the client has left."""
    return {"type": "websocket.disconnect", "code": 1001}


async def a_dead_line(message: asgi.Message) -> None:
    """Send what can still be sent: the handshake's answer."""
    if message["type"] != "websocket.accept":
        raise OSError("the client has left")


@pytest.mark.parametrize("notices", ["receiving", "sending"])
def test_a_client_that_leaves_a_websocket_is_no_failure(memory: KeyedStorage, notices: str) -> None:
    """Frameworks raise when a client leaves; what was changed until then is saved all the same."""

    class Disconnected(Exception):
        pass

    async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        await send(ACCEPT)
        scope["session"]["late"] = 2
        try:
            await (receive() if notices == "receiving" else send({"type": "websocket.send"}))
        except OSError as error:
            raise Disconnected from error
        raise Disconnected

    header = fill(memory, user=1)
    wrapped = session(COOKIE, memory)(app)
    with pytest.raises(Disconnected):
        asyncio.run(wrapped(connection(header), hung_up, a_dead_line))
    assert dict(look(memory, header)) == {"user": 1, "late": 2}


def test_an_error_at_a_websocket_saves_nothing(memory: KeyedStorage) -> None:
    """While the client is there, an error is a failure, before and after the handshake."""

    def fails(_: Session) -> None:
        raise ZeroDivisionError

    header = fill(memory, user=1)
    for steps in ([sets(late=2), fails], [ACCEPT, sets(late=2), fails]):
        with pytest.raises(ZeroDivisionError):
            asyncio.run(
                session(COOKIE, memory)(speaks(*steps))(connection(header), hung_up, Sent())
            )
    assert dict(look(memory, header)) == {"user": 1}


# Threads and waiting


class Watched:
    """A plain backend that notes the threads in which it is called."""

    def __init__(self, *, waits: bool) -> None:
        self.waits = waits
        self.threads: list[int] = []
        self._memory = MemoryBackend(max_records=10, clock=system_clock)

    def get(self, key: str) -> Stored | None:
        self.threads.append(threading.get_ident())
        return self._memory.get(key)

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        self.threads.append(threading.get_ident())
        return self._memory.swap(key, version, record, ttl)

    def delete(self, key: str) -> None:
        self.threads.append(threading.get_ident())
        self._memory.delete(key)


@pytest.mark.parametrize("waits", [True, False])
def test_a_blocking_storage_runs_in_a_worker_thread(*, waits: bool) -> None:
    """And one that never waits runs in place: a thread would cost more than the call."""
    backend = Watched(waits=waits)
    storage = KeyedStorage(backend)
    header = fill(storage, user=1)
    backend.threads.clear()
    run(answers(sets(user=2), sets(late=3)), scope_of(header), storage)
    assert len(backend.threads) == 4  # a read, a write, and to save late one more of each
    assert [thread != threading.get_ident() for thread in backend.threads] == [waits] * 4
    assert dict(look(storage, header)) == {"user": 2, "late": 3}


def test_a_session_stays_in_the_thread_of_its_request() -> None:
    """Only the backend's calls leave it: a task beside the response may change what is saved."""
    storage = KeyedStorage(Watched(waits=True))
    header = fill(storage, n=0)
    threads: list[int] = []

    def count(n: int) -> int:
        threads.append(threading.get_ident())
        return n + 1

    def work(session: Session) -> None:
        session.apply("n", count)
        overtaking = look(storage, header)
        overtaking["other"] = 1
        storage.save(overtaking)

    run(answers(work), scope_of(header), storage)
    assert dict(look(storage, header)) == {"n": 1, "other": 1}
    assert threads == [threading.get_ident()] * 2


def test_a_blocking_storage_of_ones_own_runs_in_a_worker_thread() -> None:
    """Whole, because nothing is known of what it calls."""
    threads: list[int] = []

    class Storage:
        def read(self, _: str | None) -> Session:
            threads.append(threading.get_ident())
            return Session({"user": 1}, id="id")

        def save(self, session: Session) -> str | None:
            threads.append(threading.get_ident())
            return session.id

    sent = run(answers(sets(user=2)), scope_of(COOKIE.serialize("id").partition(";")[0]), Storage())
    assert len(sent.answer.all("set-cookie")) == 1
    assert len(threads) == 2
    assert threading.get_ident() not in threads


def test_a_visitor_without_a_cookie_costs_no_thread() -> None:
    """Nothing is to be read, so nothing is handed to a worker."""
    threads: list[int] = []

    class Storage:
        def read(self, _: str | None) -> Session:
            threads.append(threading.get_ident())
            return Session()

        def save(self, _: Session) -> str | None:
            raise AssertionError

    run(answers(touches), scope_of(), Storage())
    assert threads == [threading.get_ident()]


class Awaited:
    """A `MemoryBackend` whose methods are awaited, and in which a test can stop a write."""

    def __init__(self) -> None:
        self.memory = MemoryBackend(max_records=10, clock=system_clock)
        self.stops_at: Callable[[object], bool] = lambda _: False
        self.reached = asyncio.Event()
        self.released = asyncio.Event()
        self.fails = False

    async def get(self, key: str) -> Stored | None:
        return self.memory.get(key)

    async def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        if self.stops_at(version):
            self.reached.set()
            await self.released.wait()
        if self.fails:
            raise BackendError("the server", "write")
        return self.memory.swap(key, version, record, ttl)

    async def delete(self, key: str) -> None:
        self.memory.delete(key)


class Stopped:
    """A request over an `Awaited` backend that stands still in the middle of a write."""

    def __init__(self, backend: Awaited) -> None:
        self.backend = backend
        self.storage = KeyedStorage(backend.memory)
        self.header = fill(self.storage, user=1)
        self.middleware = session(COOKIE, AsyncKeyedStorage(backend))(asgi_app)

    async def ask(self, handler: Callable[[Session], object]) -> None:
        await ask_asgi(self.middleware, handler, self.header)

    async def saved(self) -> None:
        """Release the write, and wait until the save is done."""
        self.backend.released.set()
        while self.middleware._saving:
            await asyncio.wait(self.middleware._saving)

    @property
    def moved(self) -> bool:
        """Whether the move was carried out whole: two records, and the old id leads nowhere."""
        marked = look(self.storage, self.header).is_new
        return marked and len(self.backend.memory) == 2


def move(session: Session) -> None:
    session.regenerate_id()


def is_known(version: object) -> bool:
    """Tell a write over something from a claim: in a move, the marker from the new record."""
    return version is not None


def stopped() -> Stopped:
    """Return a request to be stopped between the claim of a new id and the marker at the old."""
    backend = Awaited()
    backend.stops_at = is_known
    return Stopped(backend)


def test_a_cancelled_request_does_not_cut_its_save_in_half() -> None:
    """Cancelled between claim and marker: the move is carried out, then the request ends."""

    async def scene() -> None:
        request = stopped()
        task = asyncio.create_task(request.ask(move))
        await request.backend.reached.wait()
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()  # it waits for its save
        request.backend.released.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert request.moved

    asyncio.run(scene())


def test_a_request_that_is_cancelled_twice_does_not_wait() -> None:
    """The request ends, and its save goes on without it."""

    async def scene() -> None:
        request = stopped()
        task = asyncio.create_task(request.ask(move))
        await request.backend.reached.wait()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not request.moved
        await request.saved()
        assert request.moved

    asyncio.run(scene())


def test_a_cancel_scope_does_not_cut_a_save_in_half() -> None:
    """anyio cancels again and again until a task is gone."""

    async def scene() -> None:
        request = stopped()
        async with anyio.create_task_group() as group:
            group.start_soon(request.ask, move)
            await request.backend.reached.wait()
            group.cancel_scope.cancel()
        assert not request.moved
        await request.saved()
        assert request.moved

    asyncio.run(scene())


def test_a_save_that_fails_after_its_request_was_cancelled_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody else would hear of it."""

    async def scene() -> None:
        request = stopped()
        task = asyncio.create_task(request.ask(move))
        await request.backend.reached.wait()
        task.cancel()
        await asyncio.sleep(0)
        request.backend.fails = True
        request.backend.released.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scene())
    assert "saving a session failed after its request was cancelled" in caplog.text


def test_a_cancelled_request_does_not_cut_a_save_in_a_thread_in_half() -> None:
    """The same for a storage that blocks."""
    reached, released = threading.Event(), threading.Event()

    class Blocking(Watched):
        def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
            if version is not None:
                reached.set()
                assert released.wait(10)
            return super().swap(key, version, record, ttl)

    storage = KeyedStorage(Blocking(waits=True))
    header = fill(storage, user=1)
    middleware = session(COOKIE, storage)(asgi_app)

    async def scene() -> None:
        task = asyncio.create_task(ask_asgi(middleware, move, header))
        await asyncio.to_thread(reached.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        released.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert storage.backend.get(key_of(COOKIE.parse(header) or "")) is not None
        assert look(storage, header).is_new

    asyncio.run(scene())


def test_changes_made_while_the_save_is_written_are_not_lost() -> None:
    """A task beside the response works on the session; a second save takes what it did."""

    async def scene() -> None:
        backend = Awaited()
        backend.stops_at = is_known
        request = Stopped(backend)
        found: list[Session] = []

        def handler(session: Session) -> None:
            found.append(session)
            session["user"] = 2

        task = asyncio.create_task(request.ask(handler))
        await backend.reached.wait()
        found[0]["beside"] = 3
        backend.released.set()
        await task
        assert dict(look(request.storage, request.header)) == {"user": 2, "beside": 3}

    asyncio.run(scene())


def test_a_new_session_changed_while_it_is_first_saved_loses_nothing() -> None:
    """The id is on its way to the client, so what came meanwhile is saved under it."""

    async def scene() -> None:
        backend = Awaited()
        backend.stops_at = lambda version: version is None
        storage = AsyncKeyedStorage(backend)
        app = session(COOKIE, storage)(asgi_app)
        found: list[Session] = []

        def handler(session: Session) -> None:
            found.append(session)
            session["user"] = 1

        task = asyncio.create_task(ask_asgi(app, handler))
        await backend.reached.wait()
        found[0]["beside"] = 2
        backend.released.set()
        header = (await task).all("set-cookie")[0].partition(";")[0]
        assert dict(look(KeyedStorage(backend.memory), header)) == {"user": 1, "beside": 2}

    asyncio.run(scene())


def test_a_storage_of_two_forms_is_awaited(memory: KeyedStorage) -> None:
    """`aio` is the form that ASGI applications use."""
    backend = Awaited()
    storage = KeyedStorage(memory.backend, aio=AsyncKeyedStorage(backend))
    run(answers(sets(user=1)), scope_of(), storage)
    assert len(backend.memory) == 1


# How it is made


def test_it_is_made_as_frameworks_make_middleware(memory: KeyedStorage) -> None:
    """The application first, options by keyword."""
    app = SessionMiddleware(asgi_app, cookie=COOKIE, storage=memory, idle=60, lifetime=100)
    answer = asyncio.run(ask_asgi(app, sets(user=1)))
    assert answer.all("vary") == ["Cookie"]
    assert app.cycle.terms.idle == 60


def test_a_cookie_without_secrets_is_refused(memory: KeyedStorage) -> None:
    """When the middleware is made, not when the first request comes."""
    with pytest.raises(ConfigurationError, match="no secrets"):
        SessionMiddleware(asgi_app, cookie=Cookie("plain"), storage=memory)

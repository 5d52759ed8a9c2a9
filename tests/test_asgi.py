"""The asynchronous shell, message by message."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

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
from coatcheck.storage import AsyncKeyedStorage, CookieStorage, KeyedStorage, Powers
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.storage.backends.threaded import ThreadedBackend
from coatcheck.testing import Clock
from tests.applications import END, START, answers, fill, ignores, look, run, sets, touches
from tests.hosts import COOKIE, SECRET, Sent, asgi_app, ask_asgi, nothing_received, scope_of

# What is no request


def test_other_scopes_pass_through_untouched(memory: KeyedStorage) -> None:
    """The application gets the very scope, receive and send of the server, and no session."""
    seen: list[object] = []

    async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        seen.extend([scope, receive, send])

    scope, sent = {"type": "something.new"}, Sent()
    asyncio.run(session(COOKIE, memory)(app)(scope, nothing_received, sent))
    assert seen[0] is scope
    assert seen[1:] == [nothing_received, sent]
    assert scope == {"type": "something.new"}


class Open(CookieStorage):
    """A storage that notes when it is closed."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


class AwaitedOpen(Open):
    async def close(self) -> None:  # type: ignore[override]
        super().close()


STAGES = ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@pytest.mark.parametrize("kind", [Open, AwaitedOpen])
def test_what_a_storage_opened_is_closed_at_the_end(kind: type[Open]) -> None:
    """When the application has shut down, and not before; its messages pass through."""
    storage, closed = kind(), []

    async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        assert scope == {"type": "lifespan"}
        assert receive is nothing_received
        for stage in STAGES:
            await send({"type": stage})
            closed.append(storage.closed)

    sent = run(app, {"type": "lifespan"}, storage)
    assert [message["type"] for message in sent.messages] == STAGES
    assert closed == [0, 1]


class OpenBackend(MemoryBackend):
    """A backend that notes when it is closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


def test_both_forms_of_a_storage_are_closed(clock: Clock) -> None:
    """The one that was used, and the one that was given."""
    plain, aio = (OpenBackend(max_records=9, clock=clock) for _ in range(2))
    storage = KeyedStorage(plain, aio=AsyncKeyedStorage(ThreadedBackend(aio)))

    async def app(_: asgi.Scope, __: asgi.Receive, send: asgi.Send) -> None:
        await send({"type": "lifespan.shutdown.failed", "message": "no"})

    run(app, {"type": "lifespan"}, storage)
    assert (plain.closed, aio.closed) == (True, True)


# The session in its place


def test_the_session_is_in_the_scope_and_in_the_context(memory: KeyedStorage) -> None:
    """The scope has it under both names, also once the request is served."""

    async def app(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
        assert Context(scope).get(Session) is scope["session"] is scope["coatcheck.session"]
        await send(START)

    scope = scope_of()
    run(app, scope, memory)
    assert isinstance(scope["session"], Session)
    assert scope["session"] is scope["coatcheck.session"]


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


def test_a_foreign_session_around_ours_goes_on(memory: KeyedStorage) -> None:
    """The middleware outside finds its own session in its scope, and the application ours."""
    foreign: dict[str, int] = {}
    scope = scope_of(None, {"session": foreign})
    sent = run(answers(sets(user=1)), scope, memory)
    assert scope["session"] is foreign == {}
    assert look(memory, sent.answer.all("set-cookie")[0].partition(";")[0])["user"] == 1


def test_two_cookies_have_two_sessions(memory: KeyedStorage) -> None:
    """A middleware within another one keeps a session of its own cookie; both are saved."""
    other = Cookie("other", secrets=[SECRET])

    async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        scope["session"]["outer"] = 1
        await session(other, memory)(answers(sets(inner=1)))(scope, receive, send)

    lines = run(app, scope_of(), memory).answer.all("set-cookie")
    assert [line.partition("=")[0] for line in lines] == ["other", COOKIE.name]
    inner, outer = (line.partition(";")[0] for line in lines)
    assert dict(look(memory, outer)) == {"outer": 1}
    found = memory.read(other.parse(inner))
    assert dict(found) == {"inner": 1}


def test_a_foreign_session_within_ours_is_refused(memory: KeyedStorage) -> None:
    """What replaced our session would not be saved, so nothing is sent."""

    async def app(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
        scope["session"] = {"user": 1}
        await send(START)

    with pytest.raises(ConfigurationError, match="something replaced"):
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
        powers = Powers(waits=False)

        def read(self, _: str | None) -> dict[str, object]:
            return {}

        def save(self, _: Session) -> None:
            raise AssertionError

    class AsyncDicts(Dicts):
        async def read(self, _: str | None) -> dict[str, object]:  # type: ignore[override]
            return {}

    with pytest.raises(
        ConfigurationError, match=r"AsyncDicts.read must return a Session, got dict"
    ):
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


def test_a_second_sign_in_with_the_old_id_goes_on_after_its_headers(memory: KeyedStorage) -> None:
    """It has a session of its own, and what it does late is saved there."""
    header = fill(memory, user=1)
    run(answers(lambda session: session.regenerate_id()), scope_of(header), memory)

    def sign_in(session: Session) -> None:
        session["user"] = 2
        session.regenerate_id()

    sent = run(answers(sign_in, sets(late=3)), scope_of(header), memory)
    newer = sent.answer.all("set-cookie")[0].partition(";")[0]
    assert dict(look(memory, newer)) == {"user": 2, "late": 3}


@pytest.mark.parametrize("touched", [True, False])
def test_a_change_after_the_request_is_loud(memory: KeyedStorage, *, touched: bool) -> None:
    """A task that outlives its request is told that nobody saves what it does."""
    kept: list[Session] = []

    def step(session: Session) -> None:
        kept.append(session)
        if touched:
            session.get("user")

    run(answers(step, ignores), scope_of(fill(memory, user=1)), memory)
    run(answers(step, ignores), scope_of(), memory)
    for outlived in kept:
        with pytest.raises(ResponseStarted):
            outlived["late"] = True


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

    powers = Powers(waits=False)
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


# How it is made


def test_it_is_made_as_frameworks_make_middleware(memory: KeyedStorage) -> None:
    """The application first, options by keyword."""
    app = SessionMiddleware(asgi_app, cookie=COOKIE, storage=memory, idle=60, lifetime=100)
    answer = asyncio.run(ask_asgi(app, sets(user=1)))
    assert answer.all("vary") == ["Cookie"]
    made = look(memory, answer.all("set-cookie")[0].partition(";")[0])
    assert made.created_at and made.expires_at
    assert made.expires_at - made.created_at == timedelta(seconds=60)


def test_a_cookie_without_secrets_is_refused(memory: KeyedStorage) -> None:
    """When the middleware is made, not when the first request comes."""
    with pytest.raises(ConfigurationError, match="no secrets"):
        SessionMiddleware(asgi_app, cookie=Cookie("plain"), storage=memory)

"""The asynchronous shell at WebSockets, message by message."""

import asyncio

import pytest

from coatcheck import ResponseStarted, Session, asgi, session
from coatcheck.storage import CookieStorage, KeyedStorage
from coatcheck.testing import Clock
from tests.applications import (
    ACCEPT,
    CLOSE,
    connection,
    fill,
    ignores,
    look,
    run,
    sets,
    speaks,
    touches,
)
from tests.hosts import COOKIE, Sent, nothing_received


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


def test_a_rejected_websocket_of_a_visitor_leaves_the_next_visitor_alone(
    memory: KeyedStorage,
) -> None:
    """Visitors who only look share one draft: what ends for one of them ends for no other."""

    async def app(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
        if scope["path"] == "/refused":
            await send(CLOSE)
            return
        scope["session"]["user"] = 1
        await send(ACCEPT)
        await send(CLOSE)

    sessions, sent = session(COOKIE, memory)(app), Sent()

    async def scene() -> None:
        await sessions({**connection(), "path": "/refused"}, nothing_received, Sent())
        await sessions(connection(), nothing_received, sent)

    asyncio.run(scene())
    assert any(name == b"set-cookie" for name, _ in sent.messages[0]["headers"])


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

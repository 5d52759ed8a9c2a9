"""`save` and `reload` of `coatcheck.asgi` and `coatcheck.wsgi`: in the middle of a request."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from coatcheck import BackendError, ConfigurationError, ResponseStarted, Session, asgi, wsgi
from coatcheck._request.cycle import Cycle
from coatcheck._request.shell import Shell
from coatcheck.asgi import SessionMiddleware
from coatcheck.storage import AsyncKeyedStorage, CookieStorage, KeyedStorage, MemoryStorage
from coatcheck.testing import Clock, failing
from tests._request.visits import DictVisit
from tests.applications import ACCEPT, START, Awaited, connection, fill, look
from tests.hosts import COOKIE, Asgi, Browser, Front, Sent, Wsgi, asgi_app, ask_asgi
from tests.hosts import nothing_received as nothing

Step = Callable[[Session], object]


@pytest.fixture
def storage(clock: Clock) -> KeyedStorage:
    return MemoryStorage(clock=clock)


@pytest.fixture(params=["asgi", "wsgi"])
def front(request: pytest.FixtureRequest, storage: KeyedStorage) -> Iterator[Front]:
    if request.param == "wsgi":
        yield Wsgi(storage)
        return
    front = Asgi(storage)
    with front.runner:
        yield front


def steps(front: Front, *does: Step | str) -> Step:
    """Return a handler that does all this in turn; "save" and "reload" are what is tested."""

    async def awaited(session: Session) -> object:
        result: object = None
        for step in does:
            if isinstance(step, str):
                await getattr(asgi, step)({"session": session})
            else:
                result = step(session)
        return result

    def plain(session: Session) -> object:
        result: object = None
        for step in does:
            if isinstance(step, str):
                getattr(wsgi, step)({"coatcheck.session": session})
            else:
                result = step(session)
        return result

    return plain if isinstance(front, Wsgi) else awaited


def elsewhere(front: Front, browser: Browser, does: Step) -> Step:
    """Return a step in which another request changes the same session."""

    def step(_: Session) -> None:
        assert isinstance(front.storage, KeyedStorage)
        session = front.storage.read(browser.value)
        does(session)
        front.storage.save(session)

    return step


def set_user(session: Session) -> None:
    session["user"] = 1


def fail(_: Session) -> None:
    raise ZeroDivisionError


def signed_in(front: Front) -> Browser:
    browser = front.browser()
    browser.ask(set_user)
    return browser


def test_what_is_saved_early_is_there_before_the_response(front: Front) -> None:
    """Another request sees it, and the cookie leaves with the response."""
    seen: list[object] = []

    def peek(session: Session) -> None:
        seen.append(front.storage.read(session.issued_id).get("user"))  # type: ignore[union-attr]

    browser = front.browser()
    browser.ask(steps(front, set_user, "save", peek))
    assert seen == [1]
    assert browser.ask(dict).json == {"user": 1}


def test_what_is_saved_early_stays_although_the_request_fails(front: Front) -> None:
    """What came after it is dropped."""
    browser = signed_in(front)
    with pytest.raises(ZeroDivisionError):
        browser.ask(steps(front, lambda it: it.set("user", 2), "save", set_user, fail))
    assert browser.ask(dict).json == {"user": 2}


def test_a_change_after_an_early_save_is_saved_with_the_response(front: Front) -> None:
    """Both are kept under one id."""
    browser = front.browser()
    browser.ask(steps(front, set_user, "save", lambda it: it.set("more", 2)))
    assert browser.ask(dict).json == {"user": 1, "more": 2}


def test_an_early_sign_out_removes_the_cookie(front: Front) -> None:
    """The removal leaves with the response."""
    browser = signed_in(front)
    before = browser.value
    browser.ask(steps(front, lambda it: it.destroy(), "save"))
    assert browser.header is None
    assert front.read(before).is_new


def test_nothing_to_save_is_nothing_to_do(front: Front) -> None:
    """No record, no cookie: a visitor who only looks stays without."""
    browser = front.browser()
    assert browser.ask(steps(front, "save", "reload", len)).all("set-cookie") == []
    browser = signed_in(front)
    assert browser.ask(steps(front, "save", "reload", len)).all("set-cookie") == []


def test_a_reload_sees_what_another_request_did(front: Front) -> None:
    """And what this one had changed is saved before."""
    browser = signed_in(front)
    other = elsewhere(front, browser, lambda it: it.set("other", 3))
    got = browser.ask(steps(front, lambda it: it.set("mine", 2), other, "reload", dict))
    assert got.json == {"user": 1, "mine": 2, "other": 3}
    assert browser.ask(dict).json == got.json


def test_a_reload_finds_that_the_session_ended(front: Front) -> None:
    """It is new and empty then, and nothing of it comes back."""
    browser = signed_in(front)
    ends = elsewhere(front, browser, lambda it: it.destroy())
    assert browser.ask(steps(front, ends, "reload", lambda it: [it.is_new, dict(it)])).json == [
        True,
        {},
    ]
    assert front.read(browser.value).is_new


def test_a_cookie_that_is_due_stays_due_over_a_reload(front: Front) -> None:
    """But not if the session has ended by then."""
    browser = front.browser()
    browser.ask(steps(front, set_user, "save", "reload"))
    assert browser.ask(dict).json == {"user": 1}

    def ends(session: Session) -> None:
        assert isinstance(front.storage, KeyedStorage)
        other = front.storage.read(session.issued_id)
        other.destroy()
        front.storage.save(other)

    browser = front.browser()
    assert browser.ask(steps(front, set_user, "save", ends, "reload")).all("set-cookie") == []
    browser = front.browser()
    assert browser.ask(steps(front, set_user, "save", ends)).all("set-cookie") == []
    ended = steps(front, set_user, "save", ends, lambda it: it.set("more", 1), "save")
    assert browser.ask(ended).all("set-cookie") == []


def test_a_removal_that_is_due_stays_due_over_a_reload(front: Front) -> None:
    """A session that was emptied is gone; reading it again finds nothing."""
    browser = signed_in(front)
    browser.ask(steps(front, lambda it: it.clear(), "save", "reload"))
    assert browser.header is None


def test_a_destroyed_session_is_not_read_again(front: Front) -> None:
    """A change after destroy() stays an error."""
    browser = signed_in(front)
    answer = browser.ask(steps(front, lambda it: it.destroy(), "reload", lambda it: it.destroyed))
    assert answer.json is True


def test_a_session_in_the_cookie_can_be_saved_and_read_again(clock: Clock) -> None:
    """What was saved last counts, else what the cookie brought."""
    front = Wsgi(CookieStorage(clock=clock))
    browser = front.browser()
    browser.ask(steps(front, set_user, "save", "reload", lambda it: it.set("more", 2)))
    assert browser.ask(steps(front, "reload", dict)).json == {"user": 1, "more": 2}
    clock.advance(15 * 24 * 3600)
    assert browser.ask(steps(front, "reload", dict)).json == {}


def test_a_cookie_that_an_early_save_made_due_leaves_with_a_failed_response(
    storage: KeyedStorage,
) -> None:
    """Otherwise the session would be lost that was saved for the client."""

    async def app(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
        scope["session"]["user"] = 1
        await asgi.save(scope)
        scope["session"]["more"] = 2
        await send({**START, "status": 500})

    sent = Sent()
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    asyncio.run(SessionMiddleware(app, COOKIE, storage)(scope, nothing, sent))
    (line,) = [value for name, value in sent.messages[0]["headers"] if name == b"set-cookie"]
    assert dict(look(storage, line.decode().partition(";")[0])) == {"user": 1}


def socket(*does: Any, storage: KeyedStorage, header: str) -> None:
    """Serve a WebSocket that is accepted, and then does all this."""

    async def app(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
        await send(ACCEPT)
        for step in does:
            if isinstance(step, str):
                await getattr(asgi, step)(scope)
            else:
                step(scope["session"])

    asyncio.run(SessionMiddleware(app, COOKIE, storage)(connection(header), nothing, Sent()))


def test_a_websocket_saves_and_looks_again(storage: KeyedStorage) -> None:
    """As often as it likes."""
    header = fill(storage, user=1)
    seen: list[object] = []

    def other(_: Session) -> None:
        session = look(storage, header)
        session["other"] = 2
        storage.save(session)

    def note(session: Session) -> None:
        seen.append(dict(session))

    socket(
        *(lambda it: it.set("mine", 3), "save", other, "reload", note),
        *(lambda it: it.set("late", 4), "save"),
        storage=storage,
        header=header,
    )
    assert seen == [{"user": 1, "mine": 3, "other": 2}]
    assert dict(look(storage, header)) == {"user": 1, "mine": 3, "other": 2, "late": 4}


def test_a_websocket_learns_that_its_session_ended(storage: KeyedStorage) -> None:
    """No cookie can reach the client any more, so a change raises."""
    header = fill(storage, user=1)
    seen: list[object] = []

    def end(_: Session) -> None:
        session = look(storage, header)
        session.destroy()
        storage.save(session)

    def change(session: Session) -> None:
        seen.append(session.is_new)
        with pytest.raises(ResponseStarted):
            session["more"] = 2

    socket(end, "reload", change, storage=storage, header=header)
    socket(end, lambda it: it.set("more", 1), "save", storage=storage, header=fill(storage, user=1))
    assert seen == [True]


def test_an_outage_leaves_the_session_as_it_is(storage: KeyedStorage) -> None:
    """Saving and reading again raise; the response may still save, when the server is back."""
    front = Wsgi(storage)
    browser = signed_in(front)

    def in_outage(name: str) -> Step:
        def step(session: Session) -> None:
            with failing(storage), pytest.raises(BackendError):
                getattr(wsgi, name)({"coatcheck.session": session})

        return step

    added = (in_outage("reload"), lambda it: it.set("more", 2), in_outage("save"))
    assert browser.ask(steps(front, *added, dict)).json == {"user": 1, "more": 2}
    assert browser.ask(dict).json == {"user": 1, "more": 2}


def test_a_session_of_no_request_is_refused() -> None:
    """There is no middleware that could save it."""
    with pytest.raises(ConfigurationError, match="no middleware"):
        wsgi.save({"coatcheck.session": Session()})
    with pytest.raises(ConfigurationError, match="has no Session"):
        wsgi.save({})


def test_the_end_of_a_request_ends_it() -> None:
    """Saving later does nothing, and reading again makes no change possible."""
    storage = MemoryStorage()
    shell, visit = Shell(Cycle(COOKIE, storage)), DictVisit(fill(storage, user=1))
    shell.read(visit)
    visit.session["more"] = 2
    shell.leave(visit)
    shell.end(visit)
    shell.save(visit.session)
    shell.reload(visit.session)
    with pytest.raises(ResponseStarted):
        visit.session["late"] = 1


def test_an_early_save_runs_to_its_end_if_the_request_is_cancelled() -> None:
    """As every save."""

    async def scenario() -> None:
        backend = Awaited()
        backend.stops_at = lambda _: True
        app = SessionMiddleware(asgi_app, COOKIE, AsyncKeyedStorage(backend))

        async def handler(session: Session) -> None:
            session["user"] = 1
            await asgi.save({"session": session})

        task = asyncio.create_task(ask_asgi(app, handler))
        await backend.reached.wait()
        task.cancel()
        backend.released.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(backend.memory) == 1

    asyncio.run(scenario())


def test_an_early_save_knows_the_user_key(storage: KeyedStorage) -> None:
    """Another value of that key is a sign-in, with a new id."""
    browser = Wsgi(storage).browser(user_key="user")
    browser.ask(lambda it: it.set("cart", [1]))
    before = browser.value

    def user_of(session: Session) -> object:
        return session.signed_in and session.signed_in.user

    assert browser.ask(steps(Wsgi(storage), set_user, "save", user_of)).json == "1"
    assert browser.value != before
    assert browser.ask(dict).json == {"cart": [1], "user": 1}

"""
Races for one session, over every storage that promises to lose nothing in them.

A barrier schedules each race: every request has read the session before any of them goes on.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from coatcheck import Session, session
from coatcheck.asgi import SessionMiddleware
from coatcheck.storage import KeyedStorage
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.storage.clock import system_clock
from coatcheck.testing import Clock
from tests.hosts import (
    COOKIE,
    Answer,
    Asgi,
    Browser,
    Front,
    Handler,
    asgi_app,
    ask_asgi,
    ask_wsgi,
    wsgi_app,
)
from tests.storage_kinds import FIFTY_AT_ONCE, SERVER_SIDE, Made, front_of, storage_of
from tests.thorough import thorough

FIFTY = 50
PATIENCE = 60
"""Seconds after which a race is stuck."""

fifty_at_once = pytest.mark.parametrize("front", FIFTY_AT_ONCE, indirect=True)


@pytest.fixture(params=SERVER_SIDE)
def front(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Front]:
    """A front end over a storage on a server."""
    name, kind = request.param
    with storage_of(kind, request, clock) as made, front_of(name, made) as front:
        yield front


@pytest.fixture
def browser(front: Front) -> Browser:
    """A browser whose session holds a user."""
    browser = front.browser()
    browser.ask(sets("user", 1))
    return browser


def sets(key: str, value: object = True) -> Handler:
    return lambda session: session.set(key, value)


def gets(key: str) -> Handler:
    return lambda session: session.get(key)


def counts(session: Session) -> object:
    return session.apply("n", lambda n: n + 1, 0)


def destroys(session: Session) -> None:
    session.destroy()


def regenerates(session: Session) -> None:
    session.regenerate_id()


def race(front: Front, header: str | None, handlers: Sequence[Handler]) -> list[Answer]:
    """Answer one request for each handler; each goes on when all have read the session."""
    sessions = session(COOKIE, front.storage)
    if isinstance(front, Asgi):
        return front.runner.run(race_tasks(sessions(asgi_app), header, handlers))
    app, barrier = sessions.wsgi(wsgi_app), Barrier(len(handlers))

    def ask(handler: Handler) -> Answer:
        def waits(session: Session) -> object:
            barrier.wait(PATIENCE)
            return handler(session)

        return ask_wsgi(app, waits, header)

    with ThreadPoolExecutor(len(handlers)) as threads:
        return list(threads.map(ask, handlers))


async def race_tasks(
    app: SessionMiddleware, header: str | None, handlers: Sequence[Handler]
) -> list[Answer]:
    barrier = asyncio.Barrier(len(handlers))

    async def ask(handler: Handler) -> Answer:
        async def waits(session: Session) -> object:
            await barrier.wait()
            return handler(session)

        return await ask_asgi(app, waits, header)

    async with asyncio.timeout(PATIENCE):
        return await asyncio.gather(*map(ask, handlers))


def cookies(answers: list[Answer]) -> list[str]:
    """Return every session cookie that was set."""
    return [line.partition(";")[0] for answer in answers for line in answer.all("set-cookie")]


@fifty_at_once
def test_fifty_writers_of_fifty_keys_lose_none(front: Front, browser: Browser) -> None:
    """Each request sets a key of its own; in the end all keys are there."""
    answers = race(front, browser.header, [sets(f"key{i}", i) for i in range(FIFTY)])
    assert cookies(answers) == []
    expected = {"user": 1, **{f"key{i}": i for i in range(FIFTY)}}
    assert browser.ask(dict).json == expected


@fifty_at_once
def test_fifty_steps_of_one_count_fifty(front: Front, browser: Browser) -> None:
    """`apply` is replayed on what the winner left: no step is lost, and none counts twice."""
    race(front, browser.header, [counts] * FIFTY)
    assert browser.ask(gets("n")).json == FIFTY


@pytest.mark.parametrize("place", [thorough(0), 10, thorough(20)])
def test_logout_holds_against_writers(front: Front, browser: Browser, place: int) -> None:
    """A session that was destroyed never comes back, whoever writes to it, and when."""
    handlers: list[Handler] = [sets(f"key{i}") for i in range(20)]
    handlers.insert(place, destroys)
    answers = race(front, browser.header, handlers)
    assert [header.partition("=")[2] for header in cookies(answers)] == [""]
    assert browser.ask(lambda session: session.is_new).json is True


def test_a_refresh_never_rolls_back_what_others_wrote(
    front: Front, browser: Browser, clock: Clock
) -> None:
    """Readers that renew the session and writers go at it together; both are kept."""
    was = front.read(browser.value).expires_at
    clock.advance(7 * 24 * 3600)
    handlers = [gets("user"), *[sets(f"key{i}", i) for i in range(9)], *[gets("user")] * 10]
    answers = race(front, browser.header, handlers)
    assert cookies(answers)
    assert set(cookies(answers)) == {browser.header}
    assert browser.ask(dict).json == {"user": 1, **{f"key{i}": i for i in range(9)}}
    now = front.read(browser.value).expires_at
    assert was
    assert now
    assert (now - was).days == 7


@pytest.mark.parametrize("place", [thorough(0), 10, thorough(20)])
def test_a_new_id_signs_nobody_out(front: Front, browser: Browser, place: int) -> None:
    """Requests under way with the old id neither overwrite the cookie nor follow to the new."""
    handlers: list[Handler] = [sets(f"key{i}") if i % 2 else gets("user") for i in range(20)]
    handlers.insert(place, regenerates)
    old = browser.value
    moved = cookies(race(front, browser.header, handlers))
    assert len(moved) == 1
    browser.header = moved[0]
    assert browser.ask(gets("user")).json == 1
    assert front.read(old).is_new


def test_a_second_click_on_sign_in_signs_in_too(front: Front, browser: Browser) -> None:
    """Both get ids of their own, and each finds what it wrote."""

    def signs_in(session: Session) -> None:
        session["name"] = "Ada"
        session.regenerate_id()

    headers = cookies(race(front, browser.header, [signs_in, signs_in]))
    assert len(set(headers)) == 2
    for header in headers:
        browser.header = header
        assert browser.ask(gets("name")).json == "Ada"


def test_two_flashes_at_once_are_both_shown(front: Front, browser: Browser) -> None:
    """And no later request shows either of them again."""
    flashes: list[Handler] = [
        lambda session: session.flash("notice", "Saved."),
        lambda session: session.flash("warning", "Low stock."),
    ]
    race(front, browser.header, flashes)

    def shows(session: Session) -> list[object]:
        return [session.get("notice"), session.get("warning")]

    assert browser.ask(shows).json == ["Saved.", "Low stock."]
    assert browser.ask(shows).json == [None, None]


def test_visitors_who_come_at_once_get_sessions_of_their_own(front: Front) -> None:
    """Without a cookie there is nothing to share."""
    answers = race(front, None, [sets("user", i) for i in range(10)])
    browser, held = front.browser(), set()
    for header in cookies(answers):
        browser.header = header
        held.add(browser.ask(gets("user")).json)
    assert held == set(range(10))


# One request overtakes another


def overtake(front: Front, header: str | None, slow: Handler, fast: Handler) -> list[Answer]:
    """Let *fast* have a whole request after *slow* has read the session, and before it goes on."""
    sessions = session(COOKIE, front.storage)
    if isinstance(front, Asgi):
        return front.runner.run(overtake_task(sessions(asgi_app), header, slow, fast))
    app, answers = sessions.wsgi(wsgi_app), []

    def is_overtaken(session: Session) -> object:
        answers.append(ask_wsgi(app, fast, header))
        return slow(session)

    return [ask_wsgi(app, is_overtaken, header), *answers]


async def overtake_task(
    app: SessionMiddleware, header: str | None, slow: Handler, fast: Handler
) -> list[Answer]:
    answers = []

    async def is_overtaken(session: Session) -> object:
        answers.append(await ask_asgi(app, fast, header))
        return slow(session)

    return [await ask_asgi(app, is_overtaken, header), *answers]


def test_what_is_destroyed_meanwhile_stays_gone(front: Front, browser: Browser) -> None:
    """Read in one request, destroyed in another, written in the first: the session stays gone."""
    answers = overtake(front, browser.header, sets("late"), destroys)
    assert cookies(answers) == ["__session="]
    assert front.read(browser.value).is_new


def test_what_is_written_meanwhile_is_destroyed_too(front: Front, browser: Browser) -> None:
    """A destroy needs no version to win."""
    answers = overtake(front, browser.header, destroys, sets("late"))
    assert cookies(answers) == ["__session="]
    assert front.read(browser.value).is_new


def test_what_is_cleared_meanwhile_stays_gone(front: Front, browser: Browser) -> None:
    """Signing out by clear() holds as well."""
    overtake(front, browser.header, sets("late"), lambda session: session.clear())
    assert front.read(browser.value).is_new


def test_of_two_writers_of_a_key_the_later_wins(front: Front, browser: Browser) -> None:
    """The later one is the one that saves later."""
    overtake(front, browser.header, sets("user", "slow"), sets("user", "fast"))
    assert browser.ask(gets("user")).json == "slow"


def test_what_is_written_meanwhile_moves_along(front: Front, browser: Browser) -> None:
    """A move is replayed on what the other request left; nothing is forgotten at the old id."""
    browser.header = cookies(overtake(front, browser.header, regenerates, sets("fast", 1)))[0]
    assert browser.ask(dict).json == {"user": 1, "fast": 1}


def test_a_request_that_is_overtaken_by_a_move_changes_nothing(
    front: Front, browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    """It sends no cookie, and what it wrote under the old id is dropped, with a line in the log."""
    caplog.set_level(logging.INFO, "coatcheck")
    (moved,) = cookies(overtake(front, browser.header, sets("late"), regenerates))
    assert "were dropped" in caplog.text
    assert browser.ask(sets("later")).all("set-cookie") == []
    browser.header = moved
    assert browser.ask(dict).json == {"user": 1}


def test_a_move_away_from_a_session_that_ended_leads_nowhere(
    front: Front, browser: Browser
) -> None:
    """The new id's record is withdrawn."""
    assert cookies(overtake(front, browser.header, regenerates, destroys)) == ["__session="]
    assert front.read(browser.value).is_new


@pytest.mark.parametrize(("fast", "records"), [(sets("fast"), 2), (destroys, 1)])
@pytest.mark.parametrize("name", ["wsgi", "asgi"])
def test_a_move_that_was_overtaken_leaves_nothing_behind(
    name: str, fast: Handler, records: int
) -> None:
    """What it had claimed is removed: there is the session and the marker, or the tombstone."""
    backend = MemoryBackend(max_records=10, clock=system_clock)
    with front_of(name, Made(KeyedStorage(backend))) as front:
        browser = front.browser()
        browser.ask(sets("user", 1))
        overtake(front, browser.header, regenerates, fast)
    assert len(backend) == records


def test_a_flash_that_is_left_meanwhile_is_shown(front: Front, browser: Browser) -> None:
    """A request that reads a flash consumes that one, and not one that another leaves meanwhile."""
    browser.ask(lambda session: session.flash("notice", "first"))
    slow, _ = overtake(
        front, browser.header, gets("notice"), lambda session: session.flash("notice", "second")
    )
    assert slow.json == "first"
    assert browser.ask(gets("notice")).json == "second"


def test_a_flash_that_two_requests_read_at_once_is_shown_in_both_and_then_no_more(
    front: Front, browser: Browser
) -> None:
    """Both had read the session before either could tell the other."""
    browser.ask(lambda session: session.flash("notice", "Saved."))
    answers = overtake(front, browser.header, gets("notice"), gets("notice"))
    assert [answer.json for answer in answers] == ["Saved.", "Saved."]
    assert browser.ask(gets("notice")).json is None


def test_a_new_deadline_is_put_on_what_was_written_meanwhile(
    front: Front, browser: Browser, clock: Clock
) -> None:
    """A refresh that was overtaken renews what it finds."""
    clock.advance(7 * 24 * 3600)
    overtake(front, browser.header, gets("user"), sets("fast", 1))
    clock.advance(13 * 24 * 3600)
    assert browser.ask(dict).json == {"user": 1, "fast": 1}

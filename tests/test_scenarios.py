"""
One table of scenarios, run over ASGI and WSGI and every storage.

A scenario is a list of requests: what the handler does, and what must be seen from outside.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
import redis
import redis.asyncio

from coatcheck import Session
from coatcheck.storage import CookieStorage, FileStorage, RedisStorage
from coatcheck.testing import Clock
from tests.hosts import Answer, Browser, Front, Handler, Wsgi
from tests.storage_kinds import EVERYWHERE, Made, front_of, storage_of

Told = Literal["nothing", "new", "changed", "renewed", "removed"]
"""
What the response says of the session cookie: nothing; a new id; that the contents changed, which
only a session inside the cookie has to say; the same id with a new deadline; that it is over.
"""


@dataclass(frozen=True)
class Step:
    """
    One request.

    Args:
        do: The handler; it returns the body.
        says: The body.
        told: By the response, about the cookie.
        holds: What is stored afterwards; None: nothing is.
        later: Seconds that pass before the request.
        varies: Whether the response says that it depends on the session.
    """

    do: Handler
    says: object = None
    told: Told = "nothing"
    holds: dict[str, Any] | None = None
    later: float = 0
    varies: bool = True


@dataclass(frozen=True)
class Scenario:
    """Requests of one browser, one after another."""

    name: str
    steps: list[Step]
    idle: float | None = None
    lifetime: float | None = None


def sets(**values: Any) -> Handler:
    """Return a handler that sets these values."""
    return lambda session: session.update(values)


def gets(key: str) -> Handler:
    """Return a handler that says what is under *key*."""
    return lambda session: session.get(key)


def does(*steps: Callable[[Session], object]) -> Handler:
    """Return a handler that does one thing after another, and says what the last one said."""
    return lambda session: [step(session) for step in steps][-1]


def fills_cart(session: Session) -> object:
    session.setdefault("cart", []).append("coat")
    return session["cart"]


def counts(session: Session) -> object:
    return session.apply("n", lambda n: n + 1, 0)


def ignores(_: Session) -> None:
    return None


def is_new(session: Session) -> bool:
    return session.is_new


def destroys(session: Session) -> None:
    session.destroy()


def regenerates(session: Session) -> None:
    session.regenerate_id()


def clears(session: Session) -> None:
    session.clear()


def flashes(session: Session) -> object:
    session.flash("notice", "Saved.")
    return session.get("notice")


def dates(session: Session) -> object:
    return [session.created_at == _NOW, str(session.expires_at)]


_NOW = datetime.fromtimestamp(Clock().now, UTC)

VALUES = {"none": None, "yes": True, "n": -1, "f": 0.5, "text": "é", "list": [1, {"a": []}]}

SCENARIOS = [
    Scenario(
        "who only looks leaves nothing",
        [Step(gets("user")), Step(is_new, True), Step(does(len), 0)],
    ),
    Scenario(
        "an untouched session leaves the response alone",
        [
            Step(ignores, varies=False),
            Step(sets(user=1), told="new", holds={"user": 1}),
            Step(ignores, holds={"user": 1}, varies=False),
        ],
    ),
    Scenario(
        "what is set is there in the next request",
        [
            Step(sets(**VALUES), told="new", holds=VALUES),
            Step(dict, VALUES, holds=VALUES),
            Step(sets(n=2), told="changed", holds={**VALUES, "n": 2}),
        ],
    ),
    Scenario(
        "setting what is there already is no change",
        [
            Step(sets(user=1), told="new", holds={"user": 1}),
            Step(sets(user=1), holds={"user": 1}),
        ],
    ),
    Scenario(
        "what is unset is gone, and the session stays",
        [
            Step(
                sets(user=1, theme="dark", lang="en"),
                told="new",
                holds={"user": 1, "theme": "dark", "lang": "en"},
            ),
            Step(lambda s: s.unset("user"), told="changed", holds={"theme": "dark", "lang": "en"}),
            Step(lambda s: s.pop("theme"), "dark", told="changed", holds={"lang": "en"}),
            Step(lambda s: s.pop("theme", "none"), "none", holds={"lang": "en"}),
        ],
    ),
    Scenario(
        "a session from which the last key is taken is over",
        [
            Step(sets(user=1), told="new", holds={"user": 1}),
            Step(lambda s: s.pop("user"), 1, told="removed"),
            Step(is_new, True),
            Step(sets(user=1, theme="dark"), told="new", holds={"user": 1, "theme": "dark"}),
            Step(lambda s: [s.popitem() for _ in "ab"][-1], ["user", 1], told="removed"),
            Step(sets(user=1), told="new", holds={"user": 1}),
            Step(lambda s: s.unset("user"), told="removed"),
            Step(sets(user=1), told="new", holds={"user": 1}),
            Step(lambda s: s.__delitem__("user"), told="removed"),
            Step(clears),
        ],
    ),
    Scenario(
        "a session whose last key is taken stays for a flash that waits",
        [
            Step(does(sets(user=1), flashes), told="new", holds={"user": 1}),
            Step(lambda s: s.pop("user"), 1, told="changed", holds={}),
            Step(gets("notice"), "Saved.", told="changed", holds={}),
        ],
    ),
    Scenario(
        "a change inside a value is saved",
        [
            Step(fills_cart, ["coat"], told="new", holds={"cart": ["coat"]}),
            Step(fills_cart, ["coat"] * 2, told="changed", holds={"cart": ["coat"] * 2}),
            Step(gets("cart"), ["coat"] * 2, holds={"cart": ["coat"] * 2}),
        ],
    ),
    Scenario(
        "apply returns what it made",
        [
            Step(counts, 1, told="new", holds={"n": 1}),
            Step(counts, 2, told="changed", holds={"n": 2}),
        ],
    ),
    Scenario(
        "a flash is seen by the next request that reads it, and by no later one",
        [
            Step(flashes, None, told="new", holds={}),
            Step(ignores, varies=False, holds={}),
            Step(lambda s: s.has("notice"), True, holds={}),
            Step(gets("notice"), "Saved.", told="changed", holds={}),
            Step(gets("notice"), None, holds={}),
        ],
    ),
    Scenario(
        "a flash is seen by every read of its request",
        [
            Step(flashes, None, told="new", holds={}),
            Step(
                does(gets("notice"), gets("notice"), flashes, gets("notice")),
                "Saved.",
                told="changed",
                holds={},
            ),
            Step(gets("notice"), "Saved.", told="changed", holds={}),
        ],
    ),
    Scenario(
        "a new id keeps the data",
        [
            Step(sets(cart=1), told="new", holds={"cart": 1}),
            Step(does(sets(user=1), regenerates), told="new", holds={"cart": 1, "user": 1}),
            Step(gets("user"), 1, holds={"cart": 1, "user": 1}),
        ],
    ),
    Scenario(
        "an empty session gets no new id",
        [Step(regenerates), Step(does(regenerates, is_new), True)],
    ),
    Scenario(
        "destroy ends the session",
        [
            Step(sets(user=1), told="new", holds={"user": 1}),
            Step(does(destroys, gets("user")), None, told="removed"),
            Step(is_new, True),
        ],
    ),
    Scenario(
        "destroy of nobody's session does nothing",
        [Step(destroys), Step(does(sets(user=1), destroys))],
    ),
    Scenario(
        "a session that is cleared and left empty is over",
        [
            Step(sets(user=1), told="new", holds={"user": 1}),
            Step(clears, told="removed"),
            Step(clears),
        ],
    ),
    Scenario(
        "a session that is cleared and filled again goes on",
        [
            Step(sets(user=1), told="new", holds={"user": 1}),
            Step(does(clears, sets(theme="dark")), told="changed", holds={"theme": "dark"}),
        ],
    ),
    Scenario(
        "a new id and the end in one request: the end",
        [
            Step(sets(user=1), told="new", holds={"user": 1}),
            Step(does(regenerates, destroys), told="removed"),
        ],
    ),
    Scenario(
        "an unused session dies",
        [
            Step(sets(user=1), told="new", holds={"user": 1}),
            Step(gets("user"), None, later=60),
        ],
        idle=60,
    ),
    Scenario(
        "a session in use lives on, and is renewed now and then",
        [
            Step(sets(user=1), told="new", holds={"user": 1}),
            Step(gets("user"), 1, later=5, holds={"user": 1}),
            Step(gets("user"), 1, later=50, told="renewed", holds={"user": 1}),
            Step(gets("user"), 1, later=59, told="renewed", holds={"user": 1}),
            Step(gets("user"), None, later=60),
        ],
        idle=60,
    ),
    Scenario(
        "nothing moves the end of a session's lifetime",
        [
            Step(sets(user=1), told="new", holds={"user": 1}),
            Step(gets("user"), 1, later=50, told="renewed", holds={"user": 1}),
            Step(regenerates, later=45, told="new", holds={"user": 1}),
            Step(gets("user"), None, later=5),
        ],
        idle=60,
        lifetime=100,
    ),
    Scenario(
        "a session tells when it was made and when it dies",
        [
            Step(lambda s: s.created_at, None),
            Step(sets(user=1), told="new", holds={"user": 1}),
            Step(dates, [True, str(_NOW.replace(hour=9))], holds={"user": 1}),
        ],
        idle=3600,
    ),
]


@pytest.fixture(params=EVERYWHERE)
def front(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Front]:
    """A front end over a storage."""
    name, kind = request.param
    with storage_of(kind, request, clock) as made, front_of(name, made) as front:
        yield front


def told(front: Front, was: Session, browser: Browser, answer: Answer) -> Told:
    """Tell what the response said of the cookie, given the session before the request."""
    lines = answer.all("set-cookie")
    assert len(lines) <= 1
    if not lines:
        return "nothing"
    if browser.value is None:
        return "removed"
    session = front.read(browser.value)
    if was.issued_id != session.issued_id:
        return "new"
    return "changed" if was.expires_at == session.expires_at else "renewed"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_scenario(front: Front, clock: Clock, scenario: Scenario) -> None:
    """Every front end with every storage says, tells and keeps the same."""
    browser = front.browser(idle=scenario.idle, lifetime=scenario.lifetime)
    in_cookie = isinstance(front.storage, CookieStorage)
    for step in scenario.steps:
        clock.advance(step.later)
        was = front.read(browser.value)
        answer = browser.ask(step.do)
        assert answer.json == step.says
        news = told(front, was, browser, answer)
        assert news == ("nothing" if step.told == "changed" and not in_cookie else step.told)
        assert answer.all("vary") == (["Cookie"] if step.varies or news != "nothing" else [])
        assert answer.all("cache-control") == (["private"] if news != "nothing" else [])
        kept = front.read(browser.value)
        assert (None if kept.is_new else dict(kept)) == step.holds


HANDED = ["cookie", "memory", "file", "redis", "valkey", "memcached-asyncio"]


@pytest.mark.parametrize("kind", HANDED)
def test_a_session_is_handed_from_wsgi_to_asgi_and_back(
    request: pytest.FixtureRequest, clock: Clock, kind: str
) -> None:
    """One storage serves both; Memcached over two nodes, with another client on each side."""
    with storage_of(kind, request, clock) as made, front_of("asgi", made) as asgi:
        browser = asgi.browser()
        hand_over(Wsgi(made.storage).browser(), browser)
        signed_out = kind != "cookie"  # nothing revokes a session that is all in its cookie
        assert browser.ask(is_new).json is signed_out


def test_a_session_is_handed_from_the_plain_redis_client_to_the_asyncio_one(
    redis_socket: str, clock: Clock
) -> None:
    """Two clients, two storages, one prefix: the same sessions."""
    waiting = redis.asyncio.Redis(unix_socket_path=redis_socket)
    made = Made(RedisStorage(waiting, prefix="handed:", clock=clock), waiting.aclose)
    with redis.Redis(unix_socket_path=redis_socket) as client, front_of("asgi", made) as asgi:
        plain = RedisStorage(client, prefix="handed:", clock=clock)
        hand_over(Wsgi(plain).browser(), asgi.browser())


def test_a_session_is_handed_over_in_a_folder(tmp_path: Path, clock: Clock) -> None:
    """Two storages over one folder: the same sessions."""
    with front_of("asgi", Made(FileStorage(tmp_path, clock=clock))) as asgi:
        hand_over(Wsgi(FileStorage(tmp_path, clock=clock)).browser(), asgi.browser())


def hand_over(wsgi: Browser, asgi: Browser) -> None:
    """Let one browser visit both applications in turn."""
    wsgi.ask(does(sets(user=1), flashes))
    asgi.header = wsgi.header
    assert asgi.ask(gets("notice")).json == "Saved."
    asgi.ask(does(fills_cart, regenerates))
    wsgi.header = asgi.header
    assert wsgi.ask(dict).json == {"user": 1, "cart": ["coat"]}
    assert wsgi.ask(gets("notice")).json is None
    wsgi.ask(destroys)
    assert wsgi.header is None

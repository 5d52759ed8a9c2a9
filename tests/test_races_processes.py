"""
Races for one session between processes, over every storage that processes can share.

A barrier between the processes schedules each round: every process has read the session before any
of them goes on. Then each sends more requests with the cookie that it had from the start.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier as ProcessBarrier
from typing import NamedTuple
from uuid import uuid4

import pytest
import redis
import valkey

from coatcheck import Session
from coatcheck.storage import (
    FileStorage,
    KeyedStorage,
    MemcachedStorage,
    RedisStorage,
    SqliteStorage,
    SqlStorage,
)
from coatcheck.storage.backends.memcached import MemcachedBackend
from tests.engines import plain_engine
from tests.hosts import Browser, Handler, Wsgi
from tests.processes import CONTEXT
from tests.test_races import (
    FIFTY,
    PATIENCE,
    cookies,
    counts,
    destroys,
    gets,
    regenerates,
    sets,
)
from tests.thorough import crossed

ROUNDS = 10
"""Sessions that the processes of one test race for, one after another."""

WEEK = 7 * 24 * 3600
"""Seconds after which a session of two weeks is due for a new deadline."""

FIXTURES = {
    "file": "tmp_path",
    "sqlite": "tmp_path",
    "redis": "redis_socket",
    "valkey": "valkey_socket",
    "memcached": "memcached_nodes",
    "postgresql": "postgresql_url",
    "mariadb": "mariadb_url",
}
"""Storages that processes can share, and the fixtures that tell where they are."""


class Place(NamedTuple):
    """Where processes find the storage that they share, and how far ahead their clock is."""

    kind: str
    prefix: str
    addresses: list[str]
    ahead: float = 0

    @contextmanager
    def browser(self, header: str | None = None) -> Iterator[Browser]:
        """Open a browser over a storage that this process makes for itself."""
        with ExitStack() as stack:
            browser = Wsgi(self._storage(stack)).browser()
            browser.header = header
            yield browser

    def _clock(self) -> float:
        return time.time() + self.ahead

    def _storage(self, stack: ExitStack) -> KeyedStorage:
        clock, prefix, address = self._clock, self.prefix, self.addresses[0]
        match self.kind:
            case "file":
                return FileStorage(address, clock=clock)
            case "sqlite":
                database = SqliteStorage(f"{address}/db", clock=clock)
                stack.callback(database.close)
                return database
            case "redis":
                client: redis.Redis = stack.enter_context(redis.Redis(unix_socket_path=address))
                return RedisStorage(client, prefix=prefix, clock=clock)
            case "valkey":
                other: valkey.Valkey = stack.enter_context(valkey.Valkey(unix_socket_path=address))
                return RedisStorage(other, prefix=prefix, clock=clock)
            case "postgresql" | "mariadb":
                engine = stack.enter_context(plain_engine(address))
                return SqlStorage(engine, prefix=prefix, clock=clock)
        storage = MemcachedStorage(*self.addresses, prefix=prefix, timeout=10, clock=clock)
        assert isinstance(storage.backend, MemcachedBackend)
        stack.callback(storage.backend.close)
        return storage


@pytest.fixture(params=crossed([*FIXTURES], always={"file", "valkey", "postgresql"}))
def place(request: pytest.FixtureRequest) -> Place:
    """A place for sessions that several processes can reach."""
    found = request.getfixturevalue(FIXTURES[request.param])
    addresses = [*found] if isinstance(found, tuple) else [str(found)]
    return Place(request.param, f"{uuid4().hex}:", addresses)


# What a process does to a session: the first request waits for the other processes.

Role = Callable[[int], Sequence[Handler]]
"""Return the requests of a process, given its number."""

Said = tuple[str, int, list[str]]
"""Who set cookies in which round: the role's name, the round, the cookies."""


def writer(number: int) -> Sequence[Handler]:
    return [sets(f"key{number}-{i}") for i in range(5)]


def reader(_: int) -> Sequence[Handler]:
    return [gets("user")] * 5


def leaver(_: int) -> Sequence[Handler]:
    return [destroys]


def mover(_: int) -> Sequence[Handler]:
    return [regenerates]


def counter(number: int) -> Sequence[Handler]:
    return [each for i in range(10) for each in (sets(f"key{number}-{i}"), counts)]


class Meeting(NamedTuple):
    """What the processes of a race share: when to start, where to report, what to race for."""

    start: ProcessBarrier
    said: "SimpleQueue[Said]"
    headers: list[str]


def take_part(meeting: Meeting, role: Role, number: int, place: Place) -> None:
    """Play a role in one race for each of the sessions, and say which cookies were set."""

    def together(handler: Handler) -> Handler:
        def waits(session: Session) -> object:
            meeting.start.wait(PATIENCE)
            return handler(session)

        return waits

    with place.browser() as browser:
        for turn, header in enumerate(meeting.headers):
            first, *more = role(number)
            answers = []
            for handler in (together(first), *more):
                browser.header = header
                answers.append(browser.ask(handler))
            meeting.said.put((role.__name__, turn, cookies(answers)))


class Race:
    """What came of a race: the cookie of each session, and those that each role was told to set."""

    def __init__(self, place: Place, roles: Sequence[tuple[Role, float]], rounds: int) -> None:
        with place.browser() as browser:
            self.headers = [new_session(browser) for _ in range(rounds)]
        meeting = Meeting(CONTEXT.Barrier(len(roles)), CONTEXT.SimpleQueue(), self.headers)
        workers = [
            CONTEXT.Process(
                target=take_part, args=(meeting, role, number, place._replace(ahead=ahead))
            )
            for number, (role, ahead) in enumerate(roles)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert [worker.exitcode for worker in workers] == [0] * len(roles)
        self._said: list[Said] = [meeting.said.get() for _ in range(len(roles) * rounds)]

    def cookies(self, turn: int, *roles: Role) -> list[str]:
        """Return the cookies that processes of these roles were told to set in a round."""
        names = [role.__name__ for role in roles]
        return [
            cookie
            for name, at, told in self._said
            if at == turn and name in names
            for cookie in told
        ]


def new_session(browser: Browser) -> str:
    """Return the cookie of a new session that holds a user."""
    browser.header = None
    browser.ask(sets("user", 1))
    assert browser.header
    return browser.header


def held(browser: Browser, header: str) -> object:
    """Return what the session of that cookie holds."""
    browser.header = header
    return browser.ask(dict).json


def keys(*numbers: int) -> dict[str, object]:
    """Return what writers of these numbers write."""
    return {f"key{number}-{i}": True for number in numbers for i in range(5)}


def test_processes_lose_no_update(place: Place) -> None:
    """Five processes, ten keys each, and as many steps of one counter."""
    race = Race(place, [(counter, 0)] * 5, rounds=1)
    expected = {f"key{a}-{b}": True for a in range(5) for b in range(10)}
    with place.browser() as browser:
        assert held(browser, race.headers[0]) == {"user": 1, "n": FIFTY, **expected}


def test_logout_holds_against_processes_that_write(place: Place) -> None:
    """What one process destroyed no other brings back; a write that comes later starts anew."""
    race = Race(place, [(writer, 0), (leaver, 0), (writer, 0), (writer, 0)], ROUNDS)
    with place.browser() as browser:
        for turn, header in enumerate(race.headers):
            assert race.cookies(turn, leaver) == ["__session="]
            assert held(browser, header) == {}
            later = [each for each in race.cookies(turn, writer) if each != "__session="]
            assert header not in later
            assert all("user" not in str(held(browser, each)) for each in later)


def test_a_refresh_rolls_back_nothing_that_processes_write(place: Place) -> None:
    """Processes whose clocks are a week apart renew a session again and again; writes stay."""
    race = Race(place, [(writer, 0), (reader, WEEK), (writer, 0), (reader, WEEK)], ROUNDS)
    with place.browser() as browser:
        for turn, header in enumerate(race.headers):
            assert set(race.cookies(turn, reader)) == {header}
            assert set(race.cookies(turn, writer)) <= {header}
            assert held(browser, header) == {"user": 1, **keys(0, 2)}


def test_a_new_id_signs_no_process_out(place: Place) -> None:
    """Who comes with the old id sets no cookie and removes none; it never leads to the new one."""
    race = Race(place, [(writer, 0), (mover, 0), (reader, 0), (writer, 0)], ROUNDS)
    with place.browser() as browser:
        for turn, header in enumerate(race.headers):
            assert race.cookies(turn, writer, reader) == []
            (moved,) = race.cookies(turn, mover)
            assert moved not in (header, "__session=")
            assert held(browser, header) == {}
            now = held(browser, moved)
            assert isinstance(now, dict)
            assert now.pop("user") == 1
            assert now.items() <= keys(0, 3).items()

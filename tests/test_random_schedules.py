"""
Random schedules: requests that overlap on a few sessions, in any order, against a simple model.

`make fuzz` looks for longer.
"""

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from coatcheck import Session
from coatcheck._request.async_shell import AsyncShell
from coatcheck._request.cycle import Cycle, is_async
from coatcheck._request.shell import Shell
from coatcheck._request.visit import Changes, Visit
from coatcheck.storage import KeyedStorage, SessionStorage
from coatcheck.storage.backends.inline import InlineBackend
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.storage.keyed import AsyncKeyedStorage
from coatcheck.testing import Clock
from tests.hosts import COOKIE
from tests.session_model import IDLE, NEW, REFRESH, Held, Model, Request
from tests.storage_kinds import storage_of
from tests.thorough import thorough

EXAMPLES = int(os.environ.get("COATCHECK_EXAMPLES", "40"))
OVERLAPPING = 3

SELDOM_WAITING = ["memory", "memory-asyncio"]
IN_FILES = ["file", "file-asyncio", "sqlite", "sqlite-asyncio"]
ON_SERVERS = [
    *(thorough("redis"), "redis-asyncio", "memcached", thorough("memcached-asyncio")),
    "postgresql",
]

KEYS = st.sampled_from("ab")
MOVES = st.sampled_from(["", "regenerate", "ada", "ada", "bob"])
NUMBERS = st.integers(0, 2)
WHICH = st.integers(0, OVERLAPPING - 1)


class First(NamedTuple):
    """What a request does first: it may put a value into the cart, and change the id."""

    pushes: bool
    move: str


FIRSTS = st.builds(First, st.booleans(), MOVES)


class Told(Visit):
    """A request, as little of one as its session needs."""

    method, path, scheme, host = "GET", "/", "https", "example.org"

    def __init__(self, value: str | None) -> None:
        self.cookies = COOKIE.serialize(value).partition(";")[0] if value else None

    def header(self, name: str) -> str:
        return {"sec-fetch-site": "same-origin"}.get(name, "")

    def attach(self) -> None:
        pass

    def replaced(self) -> bool:
        return False


class Under(NamedTuple):
    """A request under way, and what the model makes of it."""

    visit: Visit
    model: Request

    @property
    def session(self) -> Session:
        return self.visit.session


class Schedules(RuleBasedStateMachine):
    """Requests that begin, act and are saved in any order."""

    def __init__(self, storage: SessionStorage, clock: Clock, *, runner: asyncio.Runner) -> None:
        super().__init__()
        cycle = Cycle(COOKIE, storage, idle=IDLE, refresh=REFRESH)
        self.storage = storage
        self.awaited = is_async(storage)
        self.shell = AsyncShell(cycle) if self.awaited else Shell(cycle)
        self.clock = clock
        self.runner = runner
        self.model = Model()
        self.ids: list[str] = []
        self.cookie: str | None = None
        self.under_way: list[Under] = []

    def done(self, called: Any) -> Any:
        """Return what a storage returned."""
        return self.runner.run(awaited(called)) if self.awaited else called

    def chosen(self, which: int) -> Under:
        return self.under_way[which % len(self.under_way)]

    def ended(self, which: int) -> Under:
        return self.under_way.pop(which % len(self.under_way))

    @initialize(
        user=st.sampled_from(["", "ada"]),
        firsts=st.tuples(FIRSTS, FIRSTS, FIRSTS),
        late=st.none() | st.tuples(st.sampled_from([0.0, 61.0, 101.0]), FIRSTS),
        saved=st.lists(WHICH, max_size=OVERLAPPING),
    )
    def races_on_one_session(
        self,
        user: str,
        firsts: Sequence[First],
        late: tuple[float, First] | None,
        saved: Sequence[int],
    ) -> None:
        """
        Begin where races are: three requests act on what they read of one session.

        Args:
            late: Seconds after which one comes that brings the old id; None: none does.
            saved: Which of them are saved at once.
        """
        self.open(-1)
        self.set(0, "a", 1)
        self.flash(0, "b", 1)
        if user:
            self.sign_in(0, user)
        self.save(0)
        for which, first in enumerate(firsts):
            self.open(-1)
            self.begin(which, first)
        if late is not None:
            self.save(0)
            self.pass_time(late[0])
            self.open(len(self.ids) - 1)  # the oldest
            self.begin(2, late[1])
        for which in saved:
            self.save(which)

    def begin(self, which: int, first: First) -> None:
        """Do what one request does first."""
        if first.pushes:
            self.change_in_place(which, 1)
        self.change_the_id(which, first.move)

    @precondition(lambda self: len(self.under_way) < OVERLAPPING)
    @rule(tab=st.integers(-2, 2))
    def open(self, tab: int) -> None:
        """Begin a request: with the browser's cookie, or, in another tab, with an older one."""
        carried = self.cookie if tab < 0 or not self.ids else self.ids[-1 - tab % len(self.ids)]
        visit = Told(carried)
        assert self.done(self.shell.read(visit)) is None
        self.under_way.append(Under(visit, self.model.open(carried, self.clock())))

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH, key=KEYS, value=NUMBERS)
    def set(self, which: int, key: str, value: int) -> None:
        under = self.chosen(which)
        if not under.model.destroyed:
            under.session[key] = value
            under.model.set(key, value)

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH, value=NUMBERS)
    def change_in_place(self, which: int, value: int) -> None:
        under = self.chosen(which)
        if not under.model.destroyed:
            under.session.setdefault("cart", []).append(value)
            under.model.push("cart", value)

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH)
    def add_one(self, which: int) -> None:
        under = self.chosen(which)
        if not under.model.destroyed:
            under.model.add("count")
            counted = under.session.apply("count", lambda count: count + 1, 0)
            assert counted == under.model.held.values["count"]

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH, key=st.sampled_from(["a", "b", "cart", "count"]))
    def unset(self, which: int, key: str) -> None:
        under = self.chosen(which)
        if not under.model.destroyed:
            under.session.unset(key)
            under.model.unset(key)

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH)
    def take_everything(self, which: int) -> None:
        under = self.chosen(which)
        if not under.model.destroyed:
            for key in list(under.session):
                del under.session[key]
                under.model.unset(key)

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH, key=KEYS, value=NUMBERS)
    def flash(self, which: int, key: str, value: int) -> None:
        under = self.chosen(which)
        if not under.model.destroyed:
            under.session.flash(key, value)
            under.model.flash(key, value)

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH, key=KEYS)
    def get(self, which: int, key: str) -> None:
        under = self.chosen(which)
        assert under.session.get(key) == under.model.get(key)

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH)
    def clear(self, which: int) -> None:
        under = self.chosen(which)
        if not under.model.destroyed:
            under.session.clear()
            under.model.clear()

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH, move=MOVES)
    def change_the_id(self, which: int, move: str) -> None:
        under = self.chosen(which)
        if move in ("ada", "bob"):
            self.sign_in(which, move)
        elif move and not under.model.destroyed:
            under.session.regenerate_id()
            under.model.regenerate()

    def sign_in(self, which: int, user: str) -> None:
        under = self.chosen(which)
        if not under.model.destroyed:
            under.session.sign_in(user)
            under.model.sign_in(user)

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH)
    def destroy(self, which: int) -> None:
        under = self.chosen(which)
        under.session.destroy()
        under.model.destroy()

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH)
    def save(self, which: int) -> None:
        """Answer a request as the middleware does; the cookie says what the model says."""
        visit, model = self.ended(which)
        value = told(self.done(self.shell.leave(visit)))
        self.done(self.shell.end(visit))
        expected = self.model.save(model, self.clock())
        if expected is NEW:
            assert value
            assert value not in self.ids
            self.model.name(value)
            self.ids.append(value)
        else:
            assert value == expected
        if value is not None:
            self.cookie = value or None

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH)
    def fail(self, which: int) -> None:
        """Answer a request whose handler failed: nothing of it is kept."""
        visit, _ = self.ended(which)
        assert told(self.done(self.shell.leave(visit, failed=True))) is None
        self.done(self.shell.end(visit, failed=True))

    @rule(seconds=st.sampled_from([1.0, 11.0, 61.0, 101.0, 901.0]))
    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def every_id_leads_to_what_the_model_says(self) -> None:
        for known in self.ids:
            found = self.done(self.storage.read(known))
            kept = self.model.living(known, self.clock())
            held = kept.held if kept else Held()
            assert found.issued_id == (known if kept else None)
            assert values(found) == held.values
            assert {key: found.get(key) for key in found._draft.shown} == held.flashes
            assert user_of(found) == held.user
            if kept:
                assert found.expires_at.timestamp() == kept.expires

    @invariant()
    def every_request_sees_what_it_did(self) -> None:
        for under in self.under_way:
            assert values(under.session) == under.model.held.values
            assert user_of(under.session) == under.model.held.user


class OnServers(Schedules):
    """The same while no time passes: a server has a clock of its own."""

    def pass_time(self, _: float) -> None:
        assert self.clock() == Clock()()


def values(session: Session) -> dict[str, Any]:
    """Return the values alone: `[]` prefers a flash of the same key, and reads it."""
    return {key: session._draft.value(key) for key in session}


def user_of(session: Session) -> str | None:
    return session.signed_in.user if session.signed_in else None


def told(changes: Changes) -> str | None:
    """Return the value that a response gives the cookie; "": it removes it; None: it is silent."""
    if not changes.set_cookies:
        return None
    (line,) = changes.set_cookies
    return COOKIE.parse(line.partition(";")[0]) or ""


async def awaited(called: Any) -> Any:
    """Return what an asynchronous storage returned."""
    return await called


@contextmanager
def storages(
    kind: str, request: pytest.FixtureRequest, clock: Clock, runner: asyncio.Runner
) -> Iterator[SessionStorage]:
    """Make a storage of that kind, in the form that is named."""
    if kind == "memory-asyncio":
        backend = MemoryBackend(max_records=10_000, clock=clock)
        yield AsyncKeyedStorage(InlineBackend(backend, backend), clock=clock)
        return
    with storage_of(kind, request, clock) as made:
        storage = made.storage
        if kind.endswith("-asyncio") and isinstance(storage, KeyedStorage):
            assert storage.aio
            storage = storage.aio
        yield storage
        if made.close:
            runner.run(awaited(made.close()))


def run(kind: str, request: pytest.FixtureRequest, machine: type[Schedules], share: int) -> None:
    """Run schedules against a storage; *share* is what part of the examples it gets."""
    clock = Clock()
    bounds = settings(
        max_examples=max(EXAMPLES // share, 5),
        stateful_step_count=30,
        derandomize=True,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    with asyncio.Runner() as runner, storages(kind, request, clock, runner) as storage:

        class Bound(machine):  # type: ignore[valid-type, misc]
            def __init__(self) -> None:
                super().__init__(storage, clock, runner=runner)

        run_state_machine_as_test(Bound, settings=bounds)


@pytest.mark.parametrize("kind", SELDOM_WAITING)
def test_overlapping_requests_leave_what_the_model_says(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """Whatever requests do and however their saves interleave, one outcome is right."""
    run(kind, request, Schedules, share=1 if kind == "memory" else 3)


@pytest.mark.parametrize("kind", IN_FILES)
def test_so_it_is_in_files(kind: str, request: pytest.FixtureRequest) -> None:
    """The same, and time passes too, where files or tables hold the sessions."""
    run(kind, request, Schedules, share=20)


@pytest.mark.parametrize("kind", ON_SERVERS)
def test_so_it_is_on_servers(kind: str, request: pytest.FixtureRequest) -> None:
    """The same on servers, while no time passes: they tell the time themselves."""
    run(kind, request, OnServers, share=20)

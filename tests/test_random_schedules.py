"""
Random schedules: requests that overlap on a few sessions, in any order, against a simple model.

`COATCHECK_EXAMPLES=5000` looks for longer.
"""

import asyncio
import os
from collections.abc import Iterator
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
from coatcheck._request.cycle import Cycle, is_async
from coatcheck.storage import KeyedStorage, SessionStorage
from coatcheck.storage.backends.inline import InlineBackend
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.storage.keyed import AsyncKeyedStorage
from coatcheck.testing import Clock
from tests.hosts import COOKIE
from tests.session_model import IDLE, NEW, REFRESH, Model, Request
from tests.storage_kinds import storage_of

EXAMPLES = int(os.environ.get("COATCHECK_EXAMPLES", "150"))
OVERLAPPING = 3
PLACE = "session"

SELDOM_WAITING = ["memory", "memory-asyncio"]
IN_FILES = ["file", "file-asyncio", "sqlite", "sqlite-asyncio"]
ON_SERVERS = ["redis", "redis-asyncio", "memcached", "memcached-asyncio", "postgresql"]

KEYS = st.sampled_from("ab")
NUMBERS = st.integers(0, 2)
WHICH = st.integers(0, OVERLAPPING - 1)


class Under(NamedTuple):
    """A request under way, and what the model makes of it."""

    session: Session
    scope: dict[str, Any]
    model: Request


class Schedules(RuleBasedStateMachine):
    """Requests that begin, act and are saved in any order."""

    def __init__(self, storage: SessionStorage, clock: Clock, *, runner: asyncio.Runner) -> None:
        super().__init__()
        self.cycle = Cycle(COOKIE, storage, idle=IDLE, refresh=REFRESH)
        self.clock = clock
        self.runner = runner
        self.awaited = is_async(storage)
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

    @initialize()
    def two_on_one_session(self) -> None:
        """Begin where races are: two requests have read what a third one left."""
        self.open(-1)
        self.set(0, "a", 1)
        self.flash(0, "b", 1)
        self.save(0)
        self.open(-1)
        self.open(-1)

    @precondition(lambda self: len(self.under_way) < OVERLAPPING)
    @rule(tab=st.integers(-4, 2))
    def open(self, tab: int) -> None:
        """Begin a request: with the browser's cookie, or, in another tab, with an older one."""
        carried = self.cookie if tab < 0 or not self.ids else self.ids[-1 - tab % len(self.ids)]
        scope: dict[str, Any] = {}
        session = self.cycle.admit(self.done(self.cycle.storage.read(carried)), scope, PLACE)
        self.under_way.append(Under(session, scope, self.model.open(carried, self.clock())))

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH, key=KEYS, value=NUMBERS)
    def set(self, which: int, key: str, value: int) -> None:
        session, _, model = self.chosen(which)
        if not model.destroyed:
            session[key] = value
            model.set(key, value)

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH, value=NUMBERS)
    def change_in_place(self, which: int, value: int) -> None:
        session, _, model = self.chosen(which)
        if not model.destroyed:
            session.setdefault("cart", []).append(value)
            model.push("cart", value)

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH)
    def add_one(self, which: int) -> None:
        session, _, model = self.chosen(which)
        if not model.destroyed:
            model.add("count")
            counted = session.apply("count", lambda count: count + 1, 0)
            assert counted == model.held.values["count"]

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH, key=st.sampled_from(["a", "b", "cart", "count"]))
    def unset(self, which: int, key: str) -> None:
        session, _, model = self.chosen(which)
        if not model.destroyed:
            session.unset(key)
            model.unset(key)

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH, key=KEYS, value=NUMBERS)
    def flash(self, which: int, key: str, value: int) -> None:
        session, _, model = self.chosen(which)
        if not model.destroyed:
            session.flash(key, value)
            model.flash(key, value)

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH, key=KEYS)
    def get(self, which: int, key: str) -> None:
        session, _, model = self.chosen(which)
        assert session.get(key) == model.get(key)

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH)
    def clear(self, which: int) -> None:
        session, _, model = self.chosen(which)
        if not model.destroyed:
            session.clear()
            model.clear()

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH, keep_old=st.sampled_from([False, False, True]))
    def regenerate_id(self, which: int, keep_old: bool) -> None:
        session, _, model = self.chosen(which)
        if not model.destroyed:
            session.regenerate_id(keep_old=keep_old)
            model.regenerate(keep_old=keep_old)

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH)
    def destroy(self, which: int) -> None:
        session, _, model = self.chosen(which)
        session.destroy()
        model.destroy()

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH)
    def save(self, which: int) -> None:
        """Answer a request as the middleware does; the cookie says what the model says."""
        session, scope, model = self.ended(which)
        value = None
        if self.cycle.leaves(session, scope, PLACE, None, failed=False):
            value = self.done(self.cycle.storage.save(session))
            assert (self.cycle.answer(session, value, None) is None) == (value is None)
            self.cycle.started(session)
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
        session, scope, _ = self.ended(which)
        assert not self.cycle.leaves(session, scope, PLACE, None, failed=True)

    @rule(seconds=st.sampled_from([1.0, 11.0, 61.0, 101.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def every_id_leads_to_what_the_model_says(self) -> None:
        for known in self.ids:
            found = self.done(self.cycle.storage.read(known))
            kept = self.model.living(known, self.clock())
            held = kept.held if kept else None
            assert found.issued_id == (known if held else None)
            assert values(found) == (held.values if held else {})
            assert {key: found.get(key) for key in found.draft.shown} == (
                held.flashes if held else {}
            )
            if kept and held:
                assert found.expires_at.timestamp() == kept.expires

    @invariant()
    def every_request_sees_what_it_did(self) -> None:
        for session, _, model in self.under_way:
            assert values(session) == model.held.values


class OnServers(Schedules):
    """The same while no time passes: a server has a clock of its own."""

    @rule()
    def wait(self) -> None:
        assert self.clock() == Clock()()


def values(session: Session) -> dict[str, Any]:
    """Return the values alone: `[]` prefers a flash of the same key, and reads it."""
    return {key: session.draft.value(key) for key in session}


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
    run(kind, request, Schedules, share=1)


@pytest.mark.parametrize("kind", IN_FILES)
def test_so_it_is_in_files(kind: str, request: pytest.FixtureRequest) -> None:
    """The same, and time passes too, where files or tables hold the sessions."""
    run(kind, request, Schedules, share=20)


@pytest.mark.parametrize("kind", ON_SERVERS)
def test_so_it_is_on_servers(kind: str, request: pytest.FixtureRequest) -> None:
    """The same on servers, while no time passes: they tell the time themselves."""
    run(kind, request, OnServers, share=20)

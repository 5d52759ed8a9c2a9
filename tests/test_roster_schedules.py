"""
The rules of rosters on real storages: steps of several requests in an order that chance chooses.

The plans are those of `test_roster_orders`, which runs every order over a dict; here each call asks
a real server. A process may stop for ever before any of its calls.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest
import redis
from msgspec.structs import replace

from coatcheck._session.plan import Get, GetMany, Swap
from coatcheck.storage import KeyedStorage, RedisStorage
from coatcheck.testing import Clock
from tests import redis_servers
from tests._session.roster_cases import CASES
from tests._session.roster_scenes import ROSTER, fix_names, names, wrong_with
from tests.explorer import CRASHED, End, Make
from tests.storage_kinds import AWAITED, FROM_URL, PLAIN, Made, storage_of

KINDS = [kind for kind in (*PLAIN, *AWAITED, *FROM_URL) if not kind.startswith("memcached")]

SCHEDULES = int(os.environ.get("COATCHECK_SCHEDULES", "1"))
"""Orders of each case on each storage; by hand more."""

CHOSEN = (
    "3 sign-ins",
    "old and new sign-in, revocation, crashes",
    "new id, save, revocation",
    "refresh, new id, end",
    "sign-out, two new ids",
    "end all others and a new id in one request, another new id",
    "limit 2: 2 sign-ins, two there",
    "a lost row: refresh, new id",
)

Ask = Callable[[Any], Any]


class Process:
    """A request on its way, which makes ids of its own names."""

    def __init__(self, make: Make) -> None:
        self._plan = make({})
        self.says: str | None = None
        self.call: Any = None
        self._names = names.name, names.ids
        self.go_on(None, first=True)

    def go_on(self, answer: Any, *, first: bool = False) -> None:
        """Hand an answer over, and stand before the next call."""
        if not first:
            names.name, names.ids = self._names
        try:
            self.call = self._plan.send(answer)
        except StopIteration as done:
            self.call, self.says = None, done.value.says
        self._names = names.name, names.ids


def run(case: str, ask: Ask, random: Random, prefix: str) -> list[str]:
    """Run one schedule of a case; return the rules that its end breaks."""
    requests, store, crash, rules = CASES[case]

    def placed(call: Any) -> Any:
        if isinstance(call, GetMany):
            return replace(call, keys=tuple(prefix + key for key in call.keys))
        return replace(call, key=prefix + call.key)

    def asked(call: Any) -> Any:
        answer = ask(placed(call))
        keys.update(call.keys if isinstance(call, GetMany) else (call.key,))
        if isinstance(call, GetMany):
            return {key.removeprefix(prefix): stored for key, stored in answer.items()}
        return answer

    keys: set[str] = set(store)
    for key, record in store.items():
        assert asked(Swap(key, None, record, 1000.0)) is None
    processes = [Process(make) for make in requests]
    while going := [each for each in processes if each.call is not None]:
        process = random.choice(going)
        if processes.index(process) in crash and random.random() < 0.08:
            process.call, process.says = None, CRASHED
        else:
            process.go_on(asked(process.call))
    found = {key: stored.record for key in keys if (stored := asked(Get(key)))}
    assert ROSTER in found
    return wrong_with(End(found, {}, [each.says or "" for each in processes]), **rules)


@contextmanager
def asking(made: Made) -> Iterator[Ask]:
    """Yield what asks a storage, plain or awaited."""
    storage: Any = made.storage
    if isinstance(storage, KeyedStorage):
        yield storage._ask
        return
    with asyncio.Runner() as runner:
        yield lambda call: runner.run(storage._ask(call))
        if made.close:
            runner.run(closed(made.close))


async def closed(close: Any) -> None:
    await close()


@pytest.fixture(autouse=True)
def _named(monkeypatch: pytest.MonkeyPatch) -> None:
    fix_names(monkeypatch)


def broken_on(made: Made, prefix: str) -> list[str]:
    """Run every chosen case in some orders; return what was broken."""
    wrong = []
    with asking(made) as ask:
        for place, case in enumerate(CHOSEN):
            for seed in range(SCHEDULES):
                found = run(case, ask, Random(f"{case} {seed}"), f"{prefix}{place}-{seed}:")
                wrong += [f"{case}, {seed}: {rule}" for rule in found]
    return wrong


@pytest.mark.parametrize("kind", KINDS)
def test_rosters_keep_their_promises_on_a_real_storage(
    kind: str, request: pytest.FixtureRequest, clock: Clock
) -> None:
    """Every session is listed, what was ended stays ended, and what was promised lives."""
    with storage_of(kind, request, clock) as made:
        prefix = getattr(made.storage, "prefix", "")
        assert broken_on(made, prefix) == []


def test_rosters_keep_their_promises_on_a_cluster(tmp_path: Any) -> None:
    """Each step touches one key, so no key needs a hash tag."""
    with redis_servers.cluster(tmp_path) as nodes:
        client = redis.RedisCluster(host="127.0.0.1", port=nodes[0].port)
        assert broken_on(Made(RedisStorage(client)), "cluster:") == []
        client.close()

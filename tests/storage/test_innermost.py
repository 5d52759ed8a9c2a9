"""What a backend can do beyond the contract: in a thread and behind another backend, too."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from coatcheck.storage.async_innermost import async_eviction_policy, async_get_many
from coatcheck.storage.backend import AskAlone, AsyncBackend, Backend, Refused, Stored
from coatcheck.storage.backends.threaded import ThreadedBackend
from coatcheck.storage.innermost import eviction_policy, get_many

THERE = {"a": Stored(b"a", 1), "b": Stored(b"b", 2)}


class Alone:
    """A backend that can do no more than the contract, and notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def get(self, key: str) -> Stored | None:
        self.asked.append(key)
        return THERE.get(key)

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        raise NotImplementedError

    def delete(self, key: str) -> None:
        raise NotImplementedError


class Able(Alone):
    """One that reads several keys at once, and tells its policy."""

    def get_many(self, keys: Sequence[str]) -> Mapping[str, Stored]:
        self.asked.append(list(keys))
        return {key: THERE[key] for key in keys if key in THERE}

    def evicts(self) -> str:
        return "allkeys-lru"


class Refusing(Able):
    """One that asks to be asked for each key."""

    def get_many(self, keys: Sequence[str]) -> Mapping[str, Stored]:
        self.asked.append(list(keys))
        raise AskAlone("the server", "read")


class Front:
    """A backend in front of another."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner

    def behind(self) -> Backend:
        return self.inner

    def __getattr__(self, name: str) -> object:
        if name in ("get", "swap", "delete"):
            return getattr(self.inner, name)
        raise AttributeError(name)


def threaded(backend: Backend) -> AsyncBackend:
    return ThreadedBackend(backend)


TOGETHER, EACH = [["a", "b", "c"]], ["a", "b", "c"]


@pytest.mark.parametrize(
    ("kind", "asked"), [(Alone, EACH), (Able, TOGETHER), (Refusing, [*TOGETHER, *EACH])]
)
@pytest.mark.parametrize("in_front", [False, True])
@pytest.mark.parametrize("awaited", [False, True])
def test_several_keys_are_one_question_where_the_backend_can(
    kind: type[Alone], asked: list[object], *, in_front: bool, awaited: bool
) -> None:
    """Else each is asked for; behind another backend and in a thread, too."""
    inner = kind()
    backend: Backend = Front(inner) if in_front else inner  # type: ignore[assignment]
    if awaited:
        found = asyncio.run(async_get_many(threaded(backend), ["a", "b", "c"]))
    else:
        found = get_many(backend, ["a", "b", "c"])
    assert found == THERE
    assert inner.asked == asked


@pytest.mark.parametrize(("kind", "policy"), [(Alone, ""), (Able, "allkeys-lru")])
def test_the_policy_is_that_of_the_server(kind: type[Alone], policy: str) -> None:
    """A backend that tells none drops nothing."""
    assert eviction_policy(kind()) == policy
    assert asyncio.run(async_eviction_policy(threaded(kind()))) == policy

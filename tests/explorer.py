"""
Run several requests in every order in which their calls can interleave, with a crash before any.

A request is a function that makes a plan: it yields the calls of `coatcheck._session.plan`, and
returns a result. The calls are carried out on a dict, one at a time; between two calls of a request
any other may take a step. A plan cannot be copied, so it is run again from its start with the
answers that it had; what it then does is remembered.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from coatcheck._session.plan import Get, GetMany, Plan, Swap
from coatcheck._session.record import Refused, Stored

Store = dict[str, bytes]
Make = Callable[[Mapping[str, str]], Plan["Result"]]
"""Makes the plan of a request; gets the cookies that browsers hold when it begins."""

CRASHED = "crashed"


class Result(NamedTuple):
    """How a request ended: what it says, and the cookie that it sets in a browser."""

    says: str
    browser: str = ""
    cookie: str | None = None


class FrozenMapping(dict[str, Stored]):
    """What was there under several keys; it can be a part of a state."""

    def __hash__(self) -> int:  # type: ignore[override] # a dict has none
        return hash(frozenset(self.items()))


class Progress(NamedTuple):
    """Where a request is: the cookies at its beginning, the answers it had, its result."""

    began: tuple[tuple[str, str], ...] | None
    answers: tuple[Any, ...]
    result: Result | None


Known = dict[Any, Any]
"""The next call of a request, by its place, its cookies and the answers it had."""


class State(NamedTuple):
    """The store, the browsers' cookies, and each request."""

    store: frozenset[tuple[str, bytes]]
    cookies: tuple[tuple[str, str], ...]
    requests: tuple[Progress, ...]


class End(NamedTuple):
    """One way in which it can end."""

    store: Store
    cookies: dict[str, str]
    results: list[str]


def ends_of(
    requests: list[Make],
    store: Store,
    cookies: Mapping[str, str],
    crash: Collection[int] = (),
) -> list[End]:
    """
    Return every way in which the requests can end.

    Args:
        crash: Places of the requests that may stop before any of their steps: an answer is lost.
    """
    begin = tuple(Progress(None, (), None) for _ in requests)
    todo = [State(frozenset(store.items()), tuple(sorted(cookies.items())), begin)]
    seen: set[State] = set()
    known: Known = {}
    ends: list[End] = []
    while todo:
        state = todo.pop()
        if state in seen:
            continue
        seen.add(state)
        going = [place for place, each in enumerate(state.requests) if each.result is None]
        for place in going:
            after = _step(state, place, requests[place], known)
            todo.append(after)
            if place in crash:
                todo.append(_with(state, place, state.requests[place], Result(CRASHED)))
                if after.requests[place].result is not None:  # its answer may be lost
                    lost = _with(after, place, after.requests[place], Result(CRASHED))
                    todo.append(lost._replace(cookies=state.cookies))
        if not going:
            says = [each.result.says for each in state.requests if each.result]
            ends.append(End(dict(state.store), dict(state.cookies), says))
    return ends


def _step(state: State, place: int, make: Make, known: Known) -> State:
    """Carry out the next call of a request; its cookie is set with its last one."""
    progress = state.requests[place]
    if progress.began is None:
        progress = progress._replace(began=state.cookies)
    assert progress.began is not None
    call = _next_of(place, make, progress, known)
    if isinstance(call, Result):  # it asks nothing
        return _with(state, place, progress, call)
    store = dict(state.store)
    answer = _carry_out(store, call)
    progress = progress._replace(answers=(*progress.answers, answer))
    state = state._replace(store=frozenset(store.items()))
    following = _next_of(place, make, progress, known)
    return _with(state, place, progress, following if isinstance(following, Result) else None)


def _with(state: State, place: int, progress: Progress, result: Result | None) -> State:
    cookies = dict(state.cookies)
    if result and result.browser and result.cookie is not None:
        cookies[result.browser] = result.cookie
    requests = list(state.requests)
    requests[place] = progress._replace(result=result)
    return State(state.store, tuple(sorted(cookies.items())), tuple(requests))


def _next_of(place: int, make: Make, progress: Progress, known: Known) -> Any:
    """Return the next call of a request that had these answers, or its result."""
    key = place, progress.began, progress.answers
    if key not in known:
        known[key] = _replayed(make, progress)
    return known[key]


def _replayed(make: Make, progress: Progress) -> Any:
    plan = make(dict(progress.began or ()))
    try:
        call = plan.send(None)
        for answer in progress.answers:
            call = plan.send(answer)
    except StopIteration as done:
        return done.value
    return call


def _carry_out(store: Store, call: Any) -> Any:
    if isinstance(call, GetMany):
        found = {key: Stored(store[key], version=store[key]) for key in call.keys if key in store}
        return FrozenMapping(found)
    there = store.get(call.key)
    stored = None if there is None else Stored(there, version=there)
    if isinstance(call, Get):
        return stored
    if isinstance(call, Swap):
        if there != call.version:
            return Refused(stored)
        store[call.key] = call.record
        return None
    store.pop(call.key, None)
    return None

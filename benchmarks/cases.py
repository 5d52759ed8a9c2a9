"""Cases of subjects: clients sign in, and come back."""

import json
from collections.abc import Callable
from itertools import cycle, islice

from benchmarks import work
from benchmarks.bare_clients import CHECKPOINT, IN_FLIGHT, requests_in_flight
from benchmarks.drivers import App, Driver
from benchmarks.measure import Case, settle
from benchmarks.subjects import Subject


def check(subject: Subject) -> None:
    """Make sure that a subject does the work: what does nothing would be the fastest."""
    show, ask = subject.make("show"), subject.driver.ask
    cookie = sign_in(subject, 7)
    data = work.data_of(7)
    _same(subject, "reads what was set", json.loads(ask(show, cookie).body), data)
    written = ask(subject.make("write"), cookie).cookie
    shown = json.loads(ask(show, written).body)
    _same(subject, "writes", {**shown, "n": 0}, {**data, "n": 0})
    if shown["n"] == data["n"]:
        raise AssertionError(f"{subject.name}: wrote nothing")
    _same(subject, "refuses what was tampered with", _shown(subject, work.tampered(cookie)), {})
    _same(subject, "knows nobody without a cookie", _shown(subject, None), {})


def _shown(subject: Subject, cookie: str | None) -> object:
    return json.loads(subject.driver.ask(subject.make("show"), cookie).body)


def _same(subject: Subject, what: str, found: object, expected: object) -> None:
    if found != expected:
        raise AssertionError(f"{subject.name}: {what}: {found} is not {expected}")


def sign_in(subject: Subject, client: int, app: App = None) -> str:
    """Return the cookie of a client whose session was filled."""
    work.filling.clear()
    work.filling.update(work.data_of(client))
    cookie = subject.driver.ask(app or subject.make("fill"), None).cookie
    if cookie is None:
        raise AssertionError(f"{subject.name}: gave no cookie")
    return cookie


def cases_of(subject: Subject, *, clients: int) -> list[Case]:
    """Return a subject's cases, with so many different clients where they are many."""
    fill = subject.make("fill")
    cookies = [sign_in(subject, client, fill) for client in range(clients)]
    cases = [_case(subject, name, cookies) for name in subject.works]
    if subject.many:
        batch = requests_in_flight(subject.make("read"), subject.driver, cookies)
        cases.append(Case(subject.key, "W2 in flight", batch, multiple=IN_FLIGHT))
    return cases


def _case(subject: Subject, name: str, cookies: list[str]) -> Case:
    app, driver = subject.make(work.WORKS[name]), subject.driver
    multiple = CHECKPOINT if subject.key == "sqlite" and name.startswith("W3") else 1
    if name == "W3 warm":
        return Case(subject.key, name, _following(app, driver, cookies[0]), multiple)
    sent: list[str | None] = list(cookies)
    if name == "W1":
        sent = [None]
    elif name == "W2 warm":
        sent = [cookies[1]]
    elif name == "W4":
        sent = [work.tampered(cookies[1])]
    return Case(subject.key, name, in_turn(app, driver, sent), multiple)


def in_turn(app: App, driver: Driver, cookies: list[str | None]) -> Callable[[int], int]:
    """Return the batch in which clients come one after another, each with its cookie."""
    queue = cycle(cookies)

    def batch(count: int) -> int:
        requests = [driver.request(cookie) for cookie in islice(queue, count)]
        settle()
        return driver.timed(app, requests)

    return batch


def _following(app: App, driver: Driver, cookie: str) -> Callable[[int], int]:
    def batch(count: int) -> int:
        nonlocal cookie
        requests = [driver.request(cookie) for _ in range(count)]
        settle()
        took, cookie = driver.followed(app, requests, cookie)
        return took

    return batch

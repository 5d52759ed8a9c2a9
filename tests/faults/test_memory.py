"""A Memcached whose memory is full: it refuses writes, or forgets."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from coatcheck import BackendError, Session
from tests import servers
from tests.faults.test_outages import front_at, reads, writes
from tests.hosts import Browser, Front
from tests.thorough import thorough

ENOUGH = 400
"""Sessions of 50 kB that do not fit in 4 MB."""


def signs_in_heavily(session: Session) -> None:
    session["user"] = 1
    session["filler"] = "x" * 50_000


def writes_heavily(session: Session) -> None:
    session["filler"] = "y" * 50_000


def refusal(browser: Browser) -> str:
    """Sign in; return what the server said if it refused."""
    try:
        browser.ask(signs_in_heavily)
    except BackendError as error:
        return str(error.__cause__)
    return ""


@contextmanager
def small(name: str, *options: str) -> Iterator[Front]:
    """Open a front end over a Memcached of 4 MB."""
    with TemporaryDirectory(prefix="coatcheck-") as folder:
        socket = Path(folder) / "m"
        with (
            servers.memcached(socket, "-m", "4", *options),
            front_at(f"memcached:{socket}?timeout=5", name) as front,
        ):
            yield front


@pytest.mark.parametrize("name", ["wsgi", thorough("asgi")])
def test_a_memcached_that_keeps_what_it_has(name: str) -> None:
    """Started with -M: a write is a BackendError, and changes nothing; reads go on."""
    with small(name, "-M") as front:
        browsers: list[Browser] = []
        while not (why := refusal(newcomer := front.browser())):
            browsers.append(newcomer)
        assert "out of memory" in why
        with pytest.raises(BackendError):
            browsers[0].ask(writes_heavily)
        assert browsers[0].ask(lambda session: session["filler"][0]).json == "x"
        assert [browser.ask(reads).json for browser in browsers] == [1] * len(browsers)
        for browser in browsers[1:]:
            browser.ask(lambda session: session.destroy())
        browsers[0].ask(writes_heavily)
        newcomer.ask(signs_in_heavily)
        assert newcomer.ask(reads).json == 1


@pytest.mark.parametrize("name", [thorough("wsgi"), "asgi"])
def test_a_memcached_that_forgets(name: str) -> None:
    """Started without -M: whose session was evicted is signed out, and can sign in again."""
    with small(name) as front:
        first = front.browser()
        first.ask(signs_in_heavily)
        for _ in range(ENOUGH):
            front.browser().ask(signs_in_heavily)
        assert first.ask(reads).json is None
        first.ask(signs_in_heavily)
        first.ask(writes)
        assert first.ask(reads).json == 1

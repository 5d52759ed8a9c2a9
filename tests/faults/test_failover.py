"""Masters that go away in the middle of traffic: Sentinel and Cluster, Redis and Valkey."""

import gc
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from coatcheck import BackendError, Session
from tests import redis_servers
from tests.faults.test_outages import FRONTS, front_at, reads, signs_in, writes
from tests.hosts import Browser, Front
from tests.servers import valkey_program
from tests.thorough import crossed

# redis-py's asyncio client of a cluster leaves connections to a lost master to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

PATIENCE = 60
"""Seconds that an election may take on a busy machine."""


def over(*always: str) -> pytest.MarkDecorator:
    """Run a test on both servers with both front ends, and in `make test` with some."""
    rows = crossed(["redis", "valkey"], FRONTS, always=always)
    return pytest.mark.parametrize(("program", "name"), rows, indirect=["program"])


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Let what is left be collected here, and not in another test."""
    yield
    gc.collect()


@pytest.fixture
def program(request: pytest.FixtureRequest) -> str | None:
    return valkey_program() if request.param == "valkey" else None


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="coatcheck-") as found:
        yield Path(found)


def visitors(front: Front, count: int) -> list[Browser]:
    """Return browsers whose sessions hold a user, and a count of 1."""
    browsers = [front.browser() for _ in range(count)]
    for browser in browsers:
        browser.ask(signs_in)
        browser.ask(writes)
    return browsers


def counted(session: Session) -> object:
    return session.get("n")


def go_on(browsers: list[Browser]) -> int:
    """Send writes until every browser has had one answered; return how many failed before."""
    failed, deadline = 0, time.monotonic() + PATIENCE
    for browser in browsers:
        while True:
            try:
                browser.ask(writes)
                break
            except BackendError:
                failed += 1
                assert time.monotonic() < deadline, "no new master was found"
                time.sleep(0.05)
    return failed


@over("redis-asgi")
def test_a_sentinel_elects_a_new_master(program: str | None, folder: Path, name: str) -> None:
    """Requests fail until it is elected, and work then; what was replicated is there."""
    with redis_servers.sentinel(folder, program=program) as watch:
        places = ",".join(f"127.0.0.1:{node.port}" for node in watch.sentinels)
        with front_at(f"redis+sentinel://{places}/mymaster?timeout=0.5", name) as front:
            browsers = visitors(front, 5)
            watch.master.ask("WAIT", 1, 1000)
            watch.master.server.stop()
            assert go_on(browsers) > 0
            assert [browser.ask(reads).json for browser in browsers] == [1] * 5
            assert [browser.ask(counted).json for browser in browsers] == [2] * 5
        watch.master.server.start()


@over("valkey-wsgi")
def test_a_master_of_a_cluster_is_lost(program: str | None, folder: Path, name: str) -> None:
    """Its replica takes over; the sessions of the others are served meanwhile."""
    with redis_servers.cluster(folder, program=program) as nodes:
        places = ",".join(f"127.0.0.1:{node.port}" for node in nodes[:3])
        with front_at(f"redis+cluster://{places}?timeout=0.5", name) as front:
            browsers = visitors(front, 12)
            for node in nodes[:3]:
                node.ask("WAIT", 1, 1000)
            nodes[0].server.stop()
            go_on(browsers)
            assert [browser.ask(reads).json for browser in browsers] == [1] * 12
            assert all(browser.ask(counted).json >= 2 for browser in browsers)
        nodes[0].server.start()


@over("redis-wsgi")
def test_slots_move_while_requests_come(program: str | None, folder: Path, name: str) -> None:
    """No request fails, and no session is lost, before, while and after its slot moves."""
    with (
        redis_servers.cluster(folder, program=program) as nodes,
        front_at(f"redis+cluster://127.0.0.1:{nodes[0].port}?timeout=2", name) as front,
    ):
        browsers = visitors(front, 12)
        for step, _ in enumerate(redis_servers.migration(nodes)):
            for browser in browsers:
                browser.ask(writes)
            assert [browser.ask(counted).json for browser in browsers] == [2 + step] * 12

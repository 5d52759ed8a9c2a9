"""Fixtures: servers of our own, a clock, and what most tests need."""

import gc
import importlib
import os
import pkgutil
import re
import sys
from collections.abc import Generator, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings

from coatcheck.storage import KeyedStorage, MemoryStorage
from coatcheck.testing import Clock
from tests import servers
from tests.engines import create_table

EXAMPLES = int(os.environ.get("COATCHECK_EXAMPLES", "40"))
"""Examples of each random test; `make fuzz` takes more."""

settings.register_profile("own", deadline=None, max_examples=EXAMPLES)  # a machine may be busy
settings.load_profile("own")

SERVERS = {"redis", "valkey", "memcached", "postgresql", "mariadb"}
"""Words in a test's parameters that stand for a server."""

STARTING = {"server_folder", "chromium"}
"""Fixtures that a test has, directly or through others, if it asks for a server or a browser."""

TESTS = Path(__file__).parent

CORE = {"_commands", "_cookie", "_model", "_request", "_session", "auth", "forms", "storage"}
"""Folders whose tests need no framework: for `--core`."""

MEASURED = (
    *("_cookie/", "_model/", "_request/", "_session/", "adopt/", "auth/"),
    *("storage/keyed/", "storage/migrating/", "storage/test_", "storage/backends/test_redis"),
    *("storage/backends/test_near", "storage/backends/test_pipelined"),
    *("frameworks/django/", "frameworks/test_streams_vary", "frameworks/test_user_key"),
    *("test_asgi", "test_bound", "test_context", "test_csrf", "test_early_saves", "test_errors"),
    *("test_event_table", "test_messages", "test_middleware", "test_signing_in", "test_telemetry"),
    *("test_storages_of_ones_own", "test_untold_users", "test_users", "test_wsgi"),
    *("threats/test_locals", "threats/test_secrecy", "threats/test_twins"),
)
"""
How the paths begin of the tests that reach every branch of the core: they run under coverage.

Under coverage, Python takes half as long again. Tests of frameworks, threats and pages need none.
"""

PROGRAMS = {"subprocess.Popen", "os.fork", "os.posix_spawn"}
"""What Python reports before it starts another program, except from `multiprocessing`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of `make thorough`, `make quick`, `make pythons` and `make lowest`."""
    parser.addoption("--thorough", action="store_true", help="run all tests, also the long ones")
    parser.addoption("--quick", action="store_true", help="run what starts no other process")
    parser.addoption("--no-browser", action="store_true", help="run what needs no browser")
    parser.addoption("--core", action="store_true", help="run the tests of the core and storages")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs a server or a browser; leave out what was not asked for."""
    for item in items:
        if needs_server(item):
            item.add_marker("server")
    if not config.getoption("thorough"):
        leave_out("thorough", config, items)
    if config.getoption("quick"):
        leave_out("server", config, items)
    if config.getoption("no_browser"):
        items[:] = [item for item in items if "chromium" not in getattr(item, "fixturenames", [])]


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """
    Look for no garbage among what is made to stay.

    Collecting tests imports them, under coverage at twice the cost: the core alone is imported so.
    """
    if session.config.pluginmanager.has_plugin("_cov"):
        for name in ("_cookie", "_model", "_request", "_session"):
            package = importlib.import_module(f"coatcheck.{name}")
            for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
                importlib.import_module(module.name)
    measure(session.config, on=False)
    gc.disable()


def pytest_collection_finish() -> None:
    """Let no collection of garbage look at ten thousand tests again."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure the coverage of the core where its tests run, and not elsewhere."""
    path = item.path.relative_to(TESTS).as_posix()
    measure(item.config, on=path.startswith(MEASURED))
    return (yield)


def measure(config: pytest.Config, *, on: bool) -> None:
    """Start or stop coverage, where it was asked for."""
    controller = getattr(config.pluginmanager.get_plugin("_cov"), "cov_controller", None)
    if controller is not None and controller.started is not on:
        (controller.resume if on else controller.pause)()


def leave_out(marker: str, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests with a marker."""
    left_out = [item for item in items if item.get_closest_marker(marker)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker(marker)]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With --core, leave out all but the folders of the core and the storages."""
    if not config.getoption("core") or not collection_path.is_relative_to(TESTS):
        return None
    inside = collection_path.relative_to(TESTS).parts
    return True if inside and inside[0] not in {*CORE, "conftest.py"} else None


def needs_server(item: pytest.Item) -> bool:
    """Tell whether a test asks for a server or a browser: by a fixture, or by a parameter."""
    words = re.findall(r"[a-z]+", item.name.partition("[")[2])
    fixtures = getattr(item, "fixturenames", [])
    return not (SERVERS.isdisjoint(words) and STARTING.isdisjoint(fixtures))


@pytest.fixture(scope="session", autouse=True)
def _quick(request: pytest.FixtureRequest) -> Iterator[None]:
    """With --quick, skip what starts another process after all, at the moment when it does."""
    with pytest.MonkeyPatch.context() as patch:
        if request.config.getoption("quick"):
            sys.addaudithook(lambda event, _: refuse() if event in PROGRAMS else None)
            patch.setattr(BaseProcess, "start", refuse)
        yield


def refuse(*_: object) -> None:
    """Skip the test that runs."""
    pytest.skip("make quick starts no other process")


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until the test moves it."""
    return Clock()


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder for sockets, whose path is short enough for them."""
    with TemporaryDirectory(prefix="coatcheck-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def redis_socket(server_folder: Path) -> Iterator[str]:
    """The socket of a Redis of our own."""
    folder = server_folder / "r"
    folder.mkdir()
    with servers.redis_server(folder, program=servers.find("redis-server")) as socket:
        yield socket


@pytest.fixture(scope="session")
def valkey_socket(server_folder: Path) -> Iterator[str]:
    """The socket of a Valkey of our own."""
    folder = server_folder / "v"
    folder.mkdir()
    with servers.redis_server(folder, program=servers.valkey_program()) as socket:
        yield socket


@pytest.fixture(scope="session")
def memcached_nodes(server_folder: Path) -> Iterator[tuple[str, str]]:
    """The sockets of two Memcached nodes of our own."""
    folder = server_folder / "m"
    folder.mkdir()
    with servers.memcached_server(folder, "a") as a, servers.memcached_server(folder, "b") as b:
        yield a, b


@pytest.fixture(scope="session")
def postgresql_url(server_folder: Path) -> Iterator[str]:
    """The URL of a PostgreSQL of our own, with a table of sessions."""
    folder = server_folder / "p"
    folder.mkdir()
    with servers.postgresql_server(folder) as (url, _):
        create_table(url)
        yield url


@pytest.fixture(scope="session")
def mariadb_url(server_folder: Path) -> Iterator[str]:
    """The URL of a MariaDB of our own, with a table of sessions."""
    folder = server_folder / "d"
    folder.mkdir()
    with servers.mariadb_server(folder) as (url, _):
        create_table(url)
        yield url


@pytest.fixture
def memory() -> KeyedStorage:
    """A storage that never waits."""
    return MemoryStorage()

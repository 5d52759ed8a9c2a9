"""Storages from URLs: every form, over real servers, with its options."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coatcheck.errors import BackendError, ConfigurationError
from coatcheck.storage import CookieStorage, KeyedStorage, storage_from_url
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.storage.urls import SCHEMES
from coatcheck.testing import Clock
from tests import redis_servers
from tests.certificates import RIGHT, Authority
from tests.servers import free_port

FORMS = ["file", "sqlite", "memory", "unix", "memcached", "postgresql", "mysql", "mariadb"]


@pytest.fixture
def url(form: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A URL of that form, of a server that runs."""
    server = request.getfixturevalue
    urls: dict[str, Callable[[], str]] = {
        "file": lambda: f"file:{tmp_path}/files?timeout=3&sweep_every=10",
        "sqlite": lambda: f"sqlite://{tmp_path}/db?timeout=3",
        "memory": lambda: "memory:?max_records=10",
        "unix": lambda: f"unix://{server('redis_socket')}?prefix=a:&db=1&max_connections=9",
        "memcached": lambda: f"memcached:{','.join(server('memcached_nodes'))}?prefix=a:&timeout=5",
        "postgresql": lambda: f"{server('postgresql_url')}?prefix=a:&sslmode=disable&pool_size=3",
        "mysql": lambda: f"{server('mariadb_url')}?timeout=5&create_table=yes&table=shop_sessions",
        "mariadb": lambda: f"{server('mariadb_url').replace('mysql:', 'mariadb:')}?timeout=9",
    }
    return urls[form]()


def visit(storage: KeyedStorage) -> str:
    """Make a session, change it, and return its value."""
    session = storage.read(None)
    session["n"] = 1
    value = storage.save(session)
    assert value
    session = storage.read(value)
    session["n"] += 1
    storage.save(session)
    assert storage.read(value)["n"] == 2
    return value


async def visit_async(storage: KeyedStorage, value: str) -> None:
    """Find what the plain form wrote, and write to it."""
    if not storage.aio:
        return
    session = await storage.aio.read(value)
    assert session["n"] == 2
    session["n"] = 3
    await storage.aio.save(session)
    assert (await storage.aio.read(value))["n"] == 3
    await storage.aio.sweep(10)
    await storage.aio.close()


def keyed(url: str) -> KeyedStorage:
    storage = storage_from_url(url)
    assert isinstance(storage, KeyedStorage)
    return storage


def check(url: str) -> None:
    """See that a URL's storage serves both kinds of application, and opens again after close()."""
    storage = keyed(url)
    value = visit(storage)
    for _ in range(2):  # each event loop has connections of its own
        asyncio.run(visit_async(storage, value))
        session = storage.read(value)
        session["n"] = 2
        storage.save(session)
    storage.sweep(10)
    storage.close()
    assert storage.read(value)["n"] == 2
    storage.close()


@pytest.mark.parametrize("form", FORMS)
def test_a_url_makes_a_storage_for_every_application(url: str) -> None:
    """Plain and asynchronous find the same sessions."""
    check(url)


def test_a_cookie_needs_no_place() -> None:
    """The cookie is its place."""
    assert isinstance(storage_from_url("cookie:"), CookieStorage)


def test_the_clock_is_passed_on(clock: Clock) -> None:
    """For tests of expiry."""
    storage = storage_from_url("memory:?max_records=3", clock=clock)
    assert isinstance(storage, KeyedStorage)
    assert storage.clock is clock
    assert isinstance(storage.backend, MemoryBackend)
    assert storage.backend._max_records == 3


def test_a_password_and_tls(tmp_path: Path) -> None:
    """rediss: checks the server's certificate; the user and the password are percent-decoded."""
    found = Authority(tmp_path).certificate(RIGHT)
    port = free_port()
    options = ["--port", "0", *redis_servers.tls_options(port, found)]
    user = ["--user", "shop", "on", ">p@ss/word", "~shop:*"]
    commands = ["+get", "+set", "+del", "+eval", "+evalsha", "+ping"]
    with redis_servers.node(tmp_path / "r", *options, *user, *commands, port=port):
        place = f"rediss://shop:p%40ss%2Fword@127.0.0.1:{port}/0?prefix=shop:"
        check(f"{place}&ssl_ca_certs={found.authority}")
        with pytest.raises(BackendError) as raised:
            keyed(place).read("A" * 40)
        assert "CERTIFICATE_VERIFY_FAILED" in str(raised.value.__cause__)
        wrong = place.replace("p%40ss", "other")
        with pytest.raises(BackendError) as raised:
            keyed(f"{wrong}&ssl_ca_certs={found.authority}").read("A" * 40)
        assert "other" not in f"{raised.value} {raised.value.__cause__}"


@pytest.fixture(params=["redis", "valkey"])
def program(request: pytest.FixtureRequest) -> str | None:
    from tests.servers import valkey_program

    return valkey_program() if request.param == "valkey" else None


@pytest.fixture
def nodes(tmp_path: Path, program: str | None) -> Iterator[list[redis_servers.Node]]:
    with redis_servers.cluster(tmp_path, program=program) as found:
        yield found


def test_a_cluster(nodes: list[redis_servers.Node]) -> None:
    """Sessions lie on all masters; one address is enough to find them."""
    check(f"redis+cluster://127.0.0.1:{nodes[0].port},127.0.0.1:{nodes[1].port}?max_connections=20")
    storage = keyed(f"redis+cluster://127.0.0.1:{nodes[0].port}")
    for _ in range(30):
        visit(storage)
    storage.close()
    assert all(node.ask("DBSIZE") > 0 for node in nodes[:3])


def test_a_cluster_that_is_not_there_is_a_backend_error() -> None:
    """With the first request, and not when the storage is made."""
    storage = keyed("redis+cluster://127.0.0.1:1?timeout=0.2")
    with pytest.raises(BackendError, match="Redis"):
        storage.read("A" * 40)
    aio = storage.aio
    assert aio
    with pytest.raises(BackendError):
        asyncio.run(aio.read("A" * 40))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis",
        "mongodb://host",
        "redis://",
        "redis://host:port",
        "redis://host/zero",
        "redis://host?timeout=0",
        "redis://host?timeout=soon",
        "redis://host?colour=red",
        "redis://host?db=1&db=2",
        "redis://host?ssl_ca_certs=x",
        "redis+sentinel://host",
        "redis+cluster://host?db=1",
        "rediss://host?ssl_check_hostname=perhaps",
        "unix:",
        "memory:here",
        "memory:?max_records=0",
        "cookie:?timeout=1",
        "file:",
        "file://host/path",
        "sqlite:?timeout=1",
        "memcached:",
        "memcached://host:port",
        "postgresql://host",
        "mysql://host/database?colour=red",
        "redis://[host",
    ],
)
def test_what_makes_no_sense_is_refused(url: str) -> None:
    """When the storage is made, and not with the first request."""
    with pytest.raises(ConfigurationError):
        storage_from_url(url)


def test_an_unknown_option_is_answered_with_those_that_are_known() -> None:
    """And so is an unknown scheme."""
    with pytest.raises(
        ConfigurationError, match=r"prefix, timeout, encrypt, db.*; option 1 is none of them"
    ):
        storage_from_url("redis://host?colour=red")
    with pytest.raises(ConfigurationError, match=r"each once.*; option 2 is there twice"):
        storage_from_url("redis://host?db=1&db=2")
    with pytest.raises(ConfigurationError, match="memory:, cookie:, file:") as raised:
        storage_from_url("mongodb://user:secret@host")
    assert "secret" not in str(raised.value)
    assert all(f"{scheme}:" in str(raised.value) for scheme in SCHEMES)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://host?timeout=0", "timeout in a redis: URL must be a number of seconds above 0"),
        ("redis://host?db=-1", "db in a redis: URL must be an integer from 0 up"),
        ("sqlite:db?sweep_every=0", "sweep_every in a sqlite: URL must be an integer above 0"),
        ("rediss://host?ssl_check_hostname=1", "ssl_check_hostname .* must be yes or no"),
    ],
)
def test_an_option_of_another_form_is_answered_with_its_form(url: str, says: str) -> None:
    """The message says which text the option takes."""
    with pytest.raises(ConfigurationError, match=says):
        storage_from_url(url)


def test_a_relative_path_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sqlite:db` lies where the program runs, `sqlite:///db` does not."""
    monkeypatch.chdir(tmp_path)
    storage = keyed("sqlite:sessions/db")
    visit(storage)
    storage.close()
    assert Path("sessions/db").exists()

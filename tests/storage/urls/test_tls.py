"""
TLS to a server that has a certificate of the right authority for another name.

Each client refuses it, plain and awaited; with the certificate of its own name it is accepted.
"""

import asyncio
import gc
import os
import re
import warnings
from asyncio.trsock import TransportSocket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pytest
import redis

from coatcheck.errors import BackendError, CoatcheckWarning, ConfigurationError
from coatcheck.storage import KeyedStorage, storage_from_url
from tests import redis_servers, servers
from tests.certificates import RIGHT, WRONG, Authority, Certificate, owned_by, short_folder
from tests.engines import create_table
from tests.faults.breakable_servers import _administrator as administrator
from tests.redis_servers import tls_options
from tests.servers import Server, answers, find, free_port, wait_until

Serve = Callable[[Path, Certificate], AbstractContextManager[str]]


@contextmanager
def redis_over_tls(folder: Path, found: Certificate) -> Iterator[str]:
    port = free_port()
    options = ["--port", str(free_port()), *tls_options(port, found)]
    with redis_servers.node(folder / "r", *options, port=port):
        yield f"rediss://127.0.0.1:{port}?ssl_ca_certs={found.authority}"


@contextmanager
def cluster_over_tls(folder: Path, found: Certificate) -> Iterator[str]:
    port = free_port()
    options = [*tls_options(port, found), "--cluster-enabled", "yes", "--tls-cluster", "yes"]
    with redis_servers.node(folder / "r", *options) as node:
        node.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: "ok" in str(node.ask("CLUSTER", "INFO")).partition("slots")[0])
        yield f"rediss+cluster://127.0.0.1:{port}?ssl_ca_certs={found.authority}"


@contextmanager
def sentinel_over_tls(folder: Path, found: Certificate) -> Iterator[str]:
    port, master = free_port(), free_port()
    with redis_servers.node(folder / "r", *tls_options(master, found)):
        config = folder / "sentinel.conf"
        lines = [f"port {free_port()}", "tls-replication yes"]
        words = tls_options(port, found)
        lines += [
            f"{name.removeprefix('--')} {value}"
            for name, value in zip(words[::2], words[1::2], strict=True)
        ]
        lines.append(f"sentinel monitor mymaster 127.0.0.1 {master} 1")
        config.write_text("\n".join(lines))
        command = [find("redis-server"), str(config), "--sentinel"]
        with Server(*command, ready=partial(answers, port)):
            yield f"rediss+sentinel://127.0.0.1:{port}/mymaster?ssl_ca_certs={found.authority}"


@contextmanager
def postgresql_over_tls(folder: Path, found: Certificate, options: str = "") -> Iterator[str]:
    own = folder / "p"
    own.mkdir()
    if os.getuid() == 0:
        owned_by(found, "postgres")
    with servers.postgresql_server(own) as (url, _):
        create_table(url)
        tell = administrator(url)
        tell(f"ALTER SYSTEM SET ssl_cert_file = '{found.certificate}'")
        tell(f"ALTER SYSTEM SET ssl_key_file = '{found.key}'")
        tell("ALTER SYSTEM SET ssl = on")
        tell("SELECT pg_reload_conf()")
        yield f"{url}?sslrootcert={found.authority}&{options}"


@contextmanager
def mariadb_over_tls(folder: Path, found: Certificate) -> Iterator[str]:
    own = folder / "d"
    own.mkdir()
    if os.getuid() == 0:
        owned_by(found, "mysql")
    options = [f"--ssl-cert={found.certificate}", f"--ssl-key={found.key}"]
    with servers.mariadb_server(own, *options) as (url, _):
        create_table(url)
        yield f"{url}?ssl_ca={found.authority}"


SERVERS: dict[str, Serve] = {
    "redis": redis_over_tls,
    "redis-cluster": cluster_over_tls,
    "redis-sentinel": sentinel_over_tls,
    "postgresql": postgresql_over_tls,
    "postgresql-verify-full": partial(postgresql_over_tls, options="sslmode=verify-full"),
    "mariadb": mariadb_over_tls,
}

OTHER_NAME = re.compile(r"not valid for '127\.0\.0\.1'|does not match host name \"127\.0\.0\.1\"")
"""What OpenSSL and PostgreSQL's client say when the name alone is wrong."""

HAS_OLD_CLIENT = int(redis.__version__.partition(".")[0]) < 6

KINDS = [
    pytest.param(
        kind,
        marks=pytest.mark.skipif(
            kind == "redis-cluster" and HAS_OLD_CLIENT, reason="is refused: needs redis-py 6"
        ),
    )
    for kind in SERVERS
]


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as found:
        yield found


@pytest.fixture(scope="module")
def misnamed(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """A kind of server, and the URL of one whose certificate has another name."""
    kind: str = request.param
    with (
        short_folder() as folder,
        SERVERS[kind](folder, Authority(folder).certificate(WRONG)) as url,
    ):
        yield kind, url


def visit(storage: KeyedStorage) -> None:
    session = storage.read(None)
    session["n"] = 1
    assert storage.read(storage.save(session))["n"] == 1


async def visit_awaited(storage: KeyedStorage) -> None:
    """When the storage is closed, its sockets are: the loop may end then."""
    assert storage.aio
    before = open_sockets()
    try:
        session = await storage.aio.read(None)
        session["n"] = 1
        assert (await storage.aio.read(await storage.aio.save(session)))["n"] == 1
    finally:
        await storage.aio.close()
    assert [each for each in open_sockets() if each not in before] == []


def open_sockets() -> list[TransportSocket]:
    """Return the sockets that transports of this process hold open."""
    found = [each for each in gc.get_objects() if type(each) is TransportSocket]
    return [each for each in found if each.fileno() != -1]


def keyed(url: str) -> KeyedStorage:
    storage = storage_from_url(url)
    assert isinstance(storage, KeyedStorage)
    return storage


def refusals_of(storage: KeyedStorage) -> list[str]:
    """Return why the plain and the awaited form did not connect."""
    reasons = []
    with pytest.raises(BackendError) as raised:
        visit(storage)
    reasons.append(f"{raised.value.__cause__}")
    with pytest.raises(BackendError) as raised:
        asyncio.run(visit_awaited(storage))
    reasons.append(f"{raised.value.__cause__}")
    storage.close()
    return reasons


@pytest.mark.parametrize("misnamed", KINDS, indirect=True)
def test_a_certificate_of_another_name_is_refused(misnamed: tuple[str, str]) -> None:
    """Whatever the client does by default. A client of Sentinels does not tell why."""
    kind, url = misnamed
    for reason in refusals_of(keyed(url)):
        assert kind == "redis-sentinel" or OTHER_NAME.search(reason)


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_of_its_name_is_accepted(kind: str, folder: Path) -> None:
    """So what is refused above is the name."""
    with SERVERS[kind](folder, Authority(folder).certificate(RIGHT)) as url:
        storage = keyed(url)
        visit(storage)
        asyncio.run(visit_awaited(storage))
        storage.close()


@pytest.mark.parametrize("misnamed", ["redis", "redis-cluster", "redis-sentinel"], indirect=True)
def test_the_check_can_be_turned_off(misnamed: tuple[str, str]) -> None:
    """For servers whose certificates have no names; the authority is checked all the same."""
    _, url = misnamed
    storage = keyed(f"{url}&ssl_check_hostname=no")
    visit(storage)
    asyncio.run(visit_awaited(storage))
    storage.close()


class OldConnection:
    """What redis-py below 6 has."""

    def __init__(self, *, ssl_check_hostname: bool = False) -> None:
        raise NotImplementedError


def test_a_client_of_a_cluster_that_cannot_compare_names_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """redis-py below 6 drops the option, and takes a certificate of any name."""
    monkeypatch.setattr("redis.cluster.REDIS_ALLOWED_KEYS", ())
    monkeypatch.setattr("redis.connection.SSLConnection", OldConnection)
    with pytest.raises(ConfigurationError, match="redis-py 6 or later"):
        storage_from_url("rediss+cluster://host")
    storage_from_url("rediss+cluster://host?ssl_check_hostname=no")


def test_a_server_without_tls_is_refused_where_it_was_asked_for(mariadb_url: str) -> None:
    """Somebody between the two could say that it has none."""
    with short_folder() as folder:
        authority = Authority(folder).certificate(RIGHT).authority
        refusals_of(keyed(f"{mariadb_url}?ssl_ca={authority}"))


@pytest.mark.parametrize("mode", ["require", "verify-ca"])
def test_a_mode_of_postgresql_that_compares_no_names_is_warned_of(mode: str, folder: Path) -> None:
    """verify-full does, and so does a URL with a certificate and no mode."""
    with pytest.warns(CoatcheckWarning, match="sslmode=verify-full"):
        storage_from_url(f"postgresql://host/name?sslmode={mode}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        storage_from_url("postgresql://host/name?sslmode=verify-full")
        authority = Authority(folder).certificate(RIGHT).authority
        storage_from_url(f"postgresql://host/name?sslrootcert={authority}")
        storage_from_url("postgresql://host/name")

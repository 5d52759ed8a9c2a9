"""What `coatcheck doctor URL` asks the server itself."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from coatcheck._commands import doctor_server as doctor
from coatcheck._commands.checks import Check
from coatcheck._commands.scanning import backend_of, open_storage
from coatcheck.storage import MemoryStorage
from tests._commands.stored import fill


def test_clocks_that_differ_are_a_fault() -> None:
    """By more than a second."""
    assert doctor._clock(1000.0, 0.0).state == "fail"


@pytest.mark.parametrize(
    ("memory", "state"),
    [
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": 100}, "warn"),
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": 0}, "ok"),
        ({"maxmemory_policy": "noeviction", "maxmemory": 100}, "ok"),
        (b"text", "ok"),
    ],
)
def test_a_server_that_drops_sessions_is_told(memory: object, state: str) -> None:
    """It does so only if its memory has a limit."""

    class Backend:
        def _ask(self, *_: object) -> object:
            return memory

    (found,) = doctor._redis_eviction(Backend(), "key")
    assert found.state == state


def test_what_the_server_does_not_tell_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its user may not be allowed to ask."""

    def _memory_version(*_: object) -> Any:
        raise PermissionError("not you")

    monkeypatch.setitem(doctor._QUESTIONS, "MemoryBackend", (_memory_version,))
    (found,) = doctor.ask_server(MemoryStorage())
    assert (found.state, found.name, found.text) == ("info", "version", "not told: not you")


def told_by(url: str) -> dict[str, Check]:
    """Return what the server of a storage tells, by the name of the check."""
    storage = open_storage(url, may_be_new=True)
    try:
        return {each.name: each for each in doctor.ask_server(storage)}
    finally:
        storage.close()


SESSIONS = "+get +set +del +eval +evalsha"
TELLS = "+acl|whoami +acl|dryrun +info +time +pttl"


@pytest.fixture
def redis_user(redis_socket: str) -> Iterator[Callable[[str], str]]:
    """Return a function that makes a user with these rights, and returns the URL."""
    client: Any = redis.Redis(unix_socket_path=redis_socket)

    def made(rights: str) -> str:
        client.execute_command("ACL", "SETUSER", "shop", "reset", "on", ">pw", *rights.split())
        return f"unix://shop:pw@{redis_socket}?prefix=shop:"

    yield made
    client.execute_command("ACL", "DELUSER", "shop")
    client.close()


@pytest.mark.parametrize(
    ("rights", "state", "text"),
    [
        (f"~* {SESSIONS} {TELLS} +mget +scan", "ok", "shop may do what sessions need"),
        (f"~shop:* {SESSIONS} {TELLS} +mget +scan", "ok", "shop may do what sessions need"),
        (f"~* {SESSIONS} {TELLS} +scan", "warn", "shop may not MGET (several records in one"),
        (f"~* {SESSIONS} {TELLS} -eval -set", "fail", "shop may not SET, EVAL"),
        (f"~other:* {SESSIONS} {TELLS}", "fail", "shop may not GET, SET, DEL, EVALSHA, EVAL"),
        (f"~* {SESSIONS} {TELLS} +@all", "info", "shop may do all, FLUSHALL too"),
        (f"~* {SESSIONS}", "info", "not told: "),
    ],
)
def test_what_a_user_of_redis_may_do(
    redis_user: Callable[[str], str], rights: str, state: str, text: str
) -> None:
    """The commands of sessions are needed; those of other commands help; more is told."""
    found = told_by(redis_user(rights))["user"]
    assert (found.state, found.text[: len(text)]) == (state, text)


def test_what_a_user_of_postgresql_may_do(postgresql_url: str) -> None:
    """A right that is missing is a fault; a superuser is told."""
    url = f"{postgresql_url}?table=doctor_rights&create_table=yes"
    fill(url)
    assert "superuser" in told_by(url)["user"].text
    plain = postgresql_url.replace("postgresql+psycopg:", "postgresql:")
    with psycopg.connect(plain, autocommit=True) as admin:
        with suppress(psycopg.errors.UndefinedObject):
            admin.execute("DROP OWNED BY doctor")
            admin.execute("DROP ROLE doctor")
        admin.execute("CREATE ROLE doctor")
        admin.execute("GRANT SELECT, INSERT ON doctor_rights TO doctor")
        storage = open_storage(url)
        backend: Any = backend_of(storage)
        doctor._told(backend, "SELECT set_config('role', 'doctor', false)")
        (found,) = doctor._postgresql_user(backend, "key")
        assert (found.state, found.text) == (
            "fail",
            "doctor may not UPDATE, DELETE in the table of sessions",
        )
        admin.execute("GRANT ALL ON doctor_rights TO doctor")
        (found,) = doctor._postgresql_user(backend, "key")
        assert (found.state, found.text) == ("ok", "doctor may do what sessions need")
        storage.close()
        admin.execute("DROP OWNED BY doctor")
        admin.execute("DROP ROLE doctor")


def test_what_a_user_of_mariadb_may_do(mariadb_url: str) -> None:
    """The rights, without the digest of a password that the server writes behind them."""
    found = told_by(f"{mariadb_url}?table=doctor_rights&create_table=yes")["user"]
    assert found.state == "info"
    assert " ON " in found.text
    assert "IDENTIFIED" not in found.text


class Forgetful:
    """A backend whose server has an expiry of its own."""

    def swap(self, *_: object) -> None: ...

    def delete(self, _: str) -> None: ...


@pytest.mark.parametrize(
    ("left", "state", "text"),
    [
        (59.9, "ok", "a record of 60 s is kept for 59.9 s"),
        (5.0, "fail", "a record of 60 s is kept for 5.0 s"),
        (-0.001, "fail", "a record of 60 s is kept without end"),
    ],
)
def test_an_expiry_that_differs_is_a_fault(left: float, state: str, text: str) -> None:
    """A proxy or a policy of the server may cut it, or drop it."""
    found = doctor._kept(Forgetful(), "key", lambda: left)
    assert (found.state, found.text) == (state, text)


def test_sqlite_and_memcached_tell_what_they_know(
    tmp_path: Path, memcached_nodes: list[str]
) -> None:
    """SQLite its version and expiry; Memcached always evicts."""
    url = f"sqlite:{tmp_path}/db"
    fill(url)
    assert {name: each.state for name, each in told_by(url).items()} == {
        "version": "info",
        "expiry": "ok",
    }
    assert "full" in told_by(f"memcached://{memcached_nodes[0]}")["eviction"].text


def test_the_questions_leave_no_record(redis_socket: str) -> None:
    """That of the expiry is deleted."""
    client: Any = redis.Redis(unix_socket_path=redis_socket)
    told_by(f"unix://{redis_socket}?prefix=left:")
    assert client.keys("left:*") == []
    client.close()


def test_the_connection_tells_its_encryption() -> None:
    """As the server names it."""
    assert doctor._in_use("TLSv1.3").text == "TLSv1.3"
    assert doctor._in_use("").text == "none"

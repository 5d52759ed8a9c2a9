"""What `coatcheck doctor URL` asks the server itself."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from coatcheck._commands import doctor_memcached
from coatcheck._commands import doctor_server as doctor
from coatcheck._commands.checks import Check
from coatcheck._commands.scanning import backend_of, open_storage
from coatcheck.storage import MemoryStorage
from tests._commands.stored import fill


def test_clocks_that_differ_are_a_fault() -> None:
    """By more than a second, beside the time that the answer took."""
    now = time.time()
    for theirs in (now - 12, now + 60):
        assert doctor._clock(theirs, now - 10).state == "fail"
    for theirs in (now - 10.5, now - 10, now - 5, now):
        assert doctor._clock(theirs, now - 10).state == "ok"


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


@pytest.fixture
def postgresql_role(postgresql_url: str) -> Iterator[tuple[Any, Callable[[str], Check]]]:
    """A role; its administrator, and a function that judges what it may do with a table."""
    plain = postgresql_url.replace("postgresql+psycopg:", "postgresql:")
    with psycopg.connect(plain, autocommit=True) as admin:
        admin.execute("CREATE ROLE doctor")

        def judged(table: str) -> Check:
            storage = open_storage(f"{postgresql_url}?table={table}", may_be_new=True)
            backend: Any = backend_of(storage)
            doctor._told(backend, "SELECT set_config('role', 'doctor', false)")
            (found,) = doctor._postgresql_user(backend, "key")
            storage.close()
            return found

        yield admin, judged
        admin.execute("DROP OWNED BY doctor")
        admin.execute("DROP ROLE doctor")


def test_what_a_user_of_postgresql_may_do(
    postgresql_url: str, postgresql_role: tuple[Any, Callable[[str], Check]]
) -> None:
    """A right that is missing is a fault; a superuser and the reader of files are warnings."""
    url, (admin, judged) = f"{postgresql_url}?table=doctor_rights&create_table=yes", postgresql_role
    fill(url)
    found = told_by(url)["user"]
    assert (found.state, "has SUPERUSER;" in found.text) == ("warn", True)
    admin.execute("GRANT SELECT, INSERT ON doctor_rights TO doctor")
    found = judged("doctor_rights")
    assert found.state == "fail"
    assert found.text == "doctor may not UPDATE, DELETE on the table of sessions"
    admin.execute("GRANT ALL ON doctor_rights TO doctor")
    assert judged("doctor_rights").state == "ok"
    admin.execute("ALTER ROLE doctor CREATEROLE")
    admin.execute("GRANT pg_read_server_files TO doctor")
    found = judged("doctor_rights")
    assert (found.state, "CREATEROLE, pg_read_server_files" in found.text) == ("warn", True)


def test_a_table_that_is_not_there_needs_the_right_to_make_it(
    postgresql_role: tuple[Any, Callable[[str], Check]],
) -> None:
    """In the schema where it would be made."""
    admin, judged = postgresql_role
    admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    assert judged("not_there").text == "doctor may not CREATE on the table of sessions"
    admin.execute("GRANT CREATE ON SCHEMA public TO doctor")
    assert judged("not_there").state == "ok"


def test_a_user_of_mariadb_who_may_do_what_is_needed_is_fine(mariadb_url: str) -> None:
    """Without the digest of a password, which the server writes behind the rights."""
    url = f"{mariadb_url}?table=doctor_rights&create_table=yes"
    fill(url)
    found = told_by(url)["user"]
    assert (found.state, found.text) == ("ok", "coatcheck@127.0.0.1 may do what sessions need")
    assert told_by(f"{mariadb_url}?table=not_there")["user"].state == "ok"  # it may make it


@pytest.fixture
def mariadb_user(mariadb_url: str, server_folder: Path) -> Iterator[Callable[[str, str], Check]]:
    """Return a function that judges a user with such a grant, on the table of that name."""
    pymysql: Any = pytest.importorskip("pymysql")
    url = f"{mariadb_url}?table=doctor_granted&create_table=yes"
    fill(url)
    parts = urlsplit(mariadb_url)
    admin = pymysql.connect(unix_socket=str(server_folder / "d" / "socket"), user="root")
    ask = admin.cursor().execute

    def judged(granted: str, table: str = "doctor_granted") -> Check:
        ask("CREATE OR REPLACE USER doctor@'127.0.0.1' IDENTIFIED BY 'pw'")
        for each in granted.split("; "):
            ask(f"GRANT {each.partition(' WITH ')[0]} TO doctor@'127.0.0.1' {option_of(each)}")
        place = f"{parts.scheme}://doctor:pw@127.0.0.1:{parts.port}{parts.path}"
        return told_by(f"{place}?table={table}")["user"]

    yield judged
    ask("DROP USER IF EXISTS doctor@'127.0.0.1'")
    admin.close()


def option_of(grant: str) -> str:
    return "WITH GRANT OPTION" if " WITH " in grant else ""


@pytest.mark.parametrize(
    ("granted", "table", "state", "text"),
    [
        ("SELECT, INSERT ON coatcheck.doctor_granted", "doctor_granted", "fail", "UPDATE, DELETE"),
        (
            "SELECT (`key`), INSERT, UPDATE, DELETE ON coatcheck.doctor_granted",
            "doctor_granted",
            "fail",
            "may not SELECT",
        ),
        ("SELECT, INSERT, UPDATE, DELETE ON coatcheck.*", "not_there", "fail", "may not CREATE on"),
        ("SELECT, INSERT, UPDATE, DELETE ON coatcheck.*", "doctor_granted", "ok", "may do what"),
        ("ALL ON *.* WITH GRANT OPTION", "not_there", "warn", "ALL PRIVILEGES ON *.*, GRANT OPT"),
    ],
)
def test_what_a_user_of_mariadb_may_do(
    mariadb_user: Callable[[str, str], Check], granted: str, table: str, state: str, text: str
) -> None:
    """The server itself is asked for each right: so columns and roles count, too."""
    found = mariadb_user(granted, table)
    assert (found.state, text in found.text) == (state, True), found.text


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


def test_sqlite_tells_what_it_knows(tmp_path: Path) -> None:
    """Its version and expiry."""
    url = f"sqlite:{tmp_path}/db"
    fill(url)
    assert {name: each.state for name, each in told_by(url).items()} == {
        "version": "info",
        "expiry": "ok",
    }


def test_each_node_of_memcached_is_asked(
    memcached_nodes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For its version and clock; with its name, if there are several."""
    monkeypatch.setitem(
        doctor._QUESTIONS,
        "MemcachedBackend",
        (doctor._memcached_version, doctor._memcached_clock, doctor._memcached_eviction),
    )
    storage = open_storage(f"memcached://{','.join(memcached_nodes)}")
    found = list(doctor.ask_server(storage))
    storage.close()
    assert [each.name for each in found] == ["version"] * 2 + ["clock"] * 2 + ["eviction"] * 2
    assert [each.state for each in found if each.name == "clock"] == ["ok", "ok"]
    assert all(node in found[place].text for place, node in enumerate(memcached_nodes))


def test_a_node_of_memcached_that_does_not_answer_is_a_fault(
    memcached_nodes: list[str], tmp_path: Path
) -> None:
    """It is named, and the others are asked."""
    storage = open_storage(f"memcached://{tmp_path}/gone,{memcached_nodes[0]}")
    backend = backend_of(storage)
    asked = (doctor._memcached_version, doctor._memcached_clock, doctor._memcached_eviction)
    found = [check for ask in asked for check in ask(backend, "key")]
    storage.close()
    assert [each.name for each in found] == ["node", "version", "clock", "eviction"]
    assert (found[0].state, found[0].text) == (
        "fail",
        f"{tmp_path}/gone: No such file or directory",
    )


def test_a_clock_of_memcached_that_differs_is_a_fault(
    memcached_nodes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By more than three seconds, because it tells whole ones, and is behind."""
    monkeypatch.setattr(doctor_memcached, "statistics", lambda *_: {"time": "1000"})
    storage = open_storage(f"memcached://{memcached_nodes[0]}")
    (found,) = doctor._memcached_clock(backend_of(storage), "key")
    storage.close()
    assert (found.state, "set both by NTP" in found.text) == ("fail", True)


class Counting:
    """A Memcached that keeps the short record for so many looks, and the long one or not."""

    def __init__(self, looks: int, *, forgets: bool = False) -> None:
        self.left, self.forgets = looks, forgets
        self.kept: dict[str, float] = {}

    def swap(self, key: str, _version: object, _record: bytes, ttl: float) -> None:
        self.kept[key] = ttl

    def get(self, key: str) -> object:
        if self.kept[key] == doctor.SHORT:
            self.left -= 1
            return None if self.left < 0 else object()
        return None if self.forgets else object()

    def delete(self, key: str) -> None:
        del self.kept[key]


@pytest.mark.parametrize(
    ("backend", "state", "text"),
    [
        (Counting(8), "ok", "a record of 1 s was gone after 0.8 s, one of 60 s stays"),
        (Counting(99), "fail", "a record of 1 s is still there after 3.0 s"),
        (Counting(0, forgets=True), "fail", "a record of 60 s is gone after 0.0 s"),
    ],
)
def test_a_record_of_memcached_is_really_gone(backend: Counting, state: str, text: str) -> None:
    """It tells no deadline, so the check waits: the short record goes, the long one stays."""
    (found,) = doctor._memcached_expiry(backend, "key", pause=lambda _: None)
    assert (found.state, found.text) == (state, text)
    assert backend.kept == {}


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

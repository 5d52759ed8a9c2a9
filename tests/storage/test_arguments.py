"""What a storage is made from: a mistake names the argument, and says what to do."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from sqlalchemy import create_engine

from coatcheck import ConfigurationError
from coatcheck.storage import (
    AsyncKeyedStorage,
    CookieStorage,
    FileStorage,
    KeyedStorage,
    MemcachedStorage,
    MemoryStorage,
    Migrating,
    Near,
    RedisStorage,
    SqliteStorage,
    SqlStorage,
    storage_from_url,
)

PASSWORD = "Tr0ub4dor"

MAKERS: dict[str, tuple[Callable[[Any], object], str]] = {
    "client": (RedisStorage, f"redis://:{PASSWORD}@host:6379/0"),
    "each of nodes": (MemcachedStorage, f"memcached://{PASSWORD}:11211"),
    "engine": (SqlStorage, f"postgresql://app:{PASSWORD}@host/shop"),
    "directory": (FileStorage, f"file:{PASSWORD}"),
    "path": (SqliteStorage, f"sqlite:{PASSWORD}"),
}


@pytest.mark.parametrize("argument", MAKERS)
def test_a_url_in_place_of_an_argument_is_answered_with_storage_from_url(argument: str) -> None:
    """The message names the argument and holds no part of the URL."""
    make, url = MAKERS[argument]
    with pytest.raises(ConfigurationError, match=rf"^{argument} must be .*, got a URL") as raised:
        make(url)
    assert "storage_from_url(url)" in str(raised.value)
    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize("argument", MAKERS)
@pytest.mark.parametrize("value", [None, "", 5, {}, MemcachedStorage])
def test_an_argument_of_another_kind_is_a_configuration_error(argument: str, value: Any) -> None:
    """It names the argument; where None came from a setting, it asks for that."""
    make, _ = MAKERS[argument]
    with pytest.raises(ConfigurationError, match=rf"^{argument} must be ") as raised:
        make(value)
    assert ("is the setting that holds it there?" in str(raised.value)) is (value in (None, ""))


@pytest.mark.parametrize("kind", [redis.Redis, redis.asyncio.Redis])
def test_a_class_is_no_client(kind: Any) -> None:
    """`RedisStorage(Redis)` in place of `RedisStorage(Redis())`."""
    with pytest.raises(ConfigurationError, match="got the class Redis"):
        RedisStorage(kind)


@pytest.mark.parametrize("node", ["host", "host:0", "host:65536", f"u:{PASSWORD}@host:1", "[::1"])
def test_a_node_is_a_host_and_a_port(node: str) -> None:
    """The message shows no node: it may hold a password."""
    with pytest.raises(ConfigurationError, match="'host:port' or the '/path'") as raised:
        MemcachedStorage(node)
    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize("make", [FileStorage, SqliteStorage])
def test_a_path_holds_no_nul(make: Callable[[Any], object]) -> None:
    """No system call takes one."""
    with pytest.raises(ConfigurationError, match="no NUL"):
        make("a\0b")


def over_nothing(**options: Any) -> object:
    return RedisStorage(redis.Redis(), **options)


def over_a_database(**options: Any) -> object:
    return SqlStorage(create_engine("postgresql+psycopg://app@host/shop"), **options)


def in_files(**options: Any) -> object:
    return FileStorage("never-made", **options)


def in_sqlite(**options: Any) -> object:
    return SqliteStorage("never-made/db", **options)


def on_memcached(**options: Any) -> object:
    return MemcachedStorage("localhost:1", **options)


OPTIONS: list[tuple[Callable[..., object], str, list[Any], str]] = [
    (MemoryStorage, "max_records", [0, -1, 1.5, "9", None, True], "an integer above 0"),
    (over_a_database, "sweep_every", [0, -1, 1.5, "9", True], "an integer above 0"),
    (in_files, "timeout", [0, -1, "9", None, True, float("nan")], "seconds above 0"),
    (in_sqlite, "timeout", [0, -1, "9", None, True, timedelta(0)], "seconds above 0"),
    (on_memcached, "timeout", [0, -1, "9", None, True, float("inf")], "seconds above 0"),
    (on_memcached, "prefix", [None, 3, b"x"], "a text"),
    (over_nothing, "prefix", [None, 3, b"x"], "a text"),
    (over_nothing, "near", [1, "1mb"], "a Near"),
    (over_a_database, "table", [None, 3, ""], "a text"),
    (MemoryStorage, "clock", [1, "utc"], "a function"),
]


@pytest.mark.parametrize(("make", "name", "values", "must"), OPTIONS)
def test_an_option_of_another_kind_is_refused_when_the_storage_is_made(
    make: Callable[..., object], name: str, values: list[Any], must: str
) -> None:
    """Not by the first request: the message names the option. Nothing is made on the disk."""
    for value in values:
        with pytest.raises(ConfigurationError, match=f"^{name} must be {must}"):
            make(**{name: value})
    assert not Path("never-made").exists()


def test_durations_may_be_timedeltas(tmp_path: Path) -> None:
    """Those of storages, too."""
    short = timedelta(milliseconds=100)
    assert FileStorage(tmp_path / "files", timeout=short)
    assert SqliteStorage(tmp_path / "db", timeout=short)
    assert MemcachedStorage("localhost:1", timeout=short)
    assert Near(max_bytes=1, max_stale=short).max_stale == short


@pytest.mark.parametrize("make", [KeyedStorage, AsyncKeyedStorage])
@pytest.mark.parametrize("backend", [None, {}, MemoryStorage(), "redis://host"])
def test_a_backend_has_its_three_methods(make: Callable[[Any], object], backend: Any) -> None:
    """A storage is none, and neither is what a setting left empty."""
    with pytest.raises(ConfigurationError, match=r"^backend must be a backend"):
        make(backend)


def test_a_storage_says_what_it_is(tmp_path: Path) -> None:
    """Its repr names what keeps the records, whatever passes the calls on, and no secret."""
    kept = tmp_path / "sessions"
    memory, sqlite = MemoryStorage(encrypt=True), SqliteStorage(kept / "db")
    client = redis.Redis(password=PASSWORD)
    moving = Migrating(MemoryStorage(), sqlite)
    shown = {
        repr(memory): "KeyedStorage(MemoryBackend, encrypt=True)",
        repr(sqlite): "KeyedStorage(SqliteBackend)",
        repr(sqlite.aio): "AsyncKeyedStorage(SqliteBackend)",
        repr(FileStorage(kept).aio): "AsyncKeyedStorage(FileBackend)",
        repr(RedisStorage(client)): "KeyedStorage(RedisBackend, prefix='coatcheck:')",
        repr(RedisStorage(client).aio): "AsyncKeyedStorage(RedisBackend, prefix='coatcheck:')",
        repr(moving): "MigratingStorage(MemoryBackend to SqliteBackend)",
        repr(moving.aio): "AsyncMigratingStorage(MemoryBackend to SqliteBackend)",
        repr(Migrating(CookieStorage(), sqlite)): "FromCookie(SqliteBackend)",
        repr(Migrating(sqlite, CookieStorage())): "IntoCookie(SqliteBackend)",
    }
    assert list(shown) == list(shown.values())


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (f"redis://:{PASSWORD}@host?prefix=p", "RedisBackend"),
        (f"postgresql://app:{PASSWORD}@host/shop?prefix=p", "PostgresqlBackend"),
        (f"mysql://app:{PASSWORD}@host/shop?prefix=p", "MariadbBackend"),
    ],
)
def test_a_storage_from_a_url_says_what_it_is(url: str, kind: str) -> None:
    """Before it asked a server: what opens connections later is none of its words."""
    storage = storage_from_url(url)
    assert isinstance(storage, KeyedStorage)
    assert repr(storage) == f"KeyedStorage({kind}, prefix='p')"
    assert repr(storage.aio) == f"AsyncKeyedStorage(Async{kind}, prefix='p')"
    assert storage.space.server == kind.removesuffix("Backend")


def test_a_path_may_hold_a_colon(tmp_path: Path) -> None:
    """Only what is the URL of a storage is taken for one."""
    assert FileStorage(str(tmp_path / "a:b"))
    assert FileStorage(tmp_path / "sqlite:x")

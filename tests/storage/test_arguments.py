"""What a storage is made from: a mistake names the argument, and says what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

from coatcheck import ConfigurationError
from coatcheck.storage import (
    FileStorage,
    MemcachedStorage,
    RedisStorage,
    SqliteStorage,
    SqlStorage,
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


def test_a_path_may_hold_a_colon(tmp_path: Path) -> None:
    """Only what is the URL of a storage is taken for one."""
    assert FileStorage(str(tmp_path / "a:b"))
    assert FileStorage(tmp_path / "sqlite:x")

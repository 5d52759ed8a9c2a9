"""What the lists of users ask of a Redis beyond the contract: several keys, and its policy."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
import valkey
import valkey.asyncio

from coatcheck import BackendError
from coatcheck.storage.backend import AskAlone
from coatcheck.storage.backends.redis import AsyncRedisBackend, RedisBackend
from tests import redis_servers, servers


@pytest.fixture
def client(redis_socket: str) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=redis_socket) as client:
        yield client


def test_several_keys_are_one_command(client: redis.Redis) -> None:
    """A key without a record is left out; no keys ask nothing."""
    backend = RedisBackend(client)
    backend.swap("lists:a", None, b"a", 10)
    asked = int(client.info("stats")["total_commands_processed"])
    found = backend.get_many(["lists:a", "lists:b"])
    assert {key: stored.record for key, stored in found.items()} == {"lists:a": b"a"}
    assert found["lists:a"] == backend.get("lists:a")
    assert int(client.info("stats")["total_commands_processed"]) == asked + 3
    assert backend.get_many([]) == {}


class Refusing:
    """A client whose server refuses a command."""

    connection_pool = redis.ConnectionPool()

    def __init__(self, error: Exception) -> None:
        self.error = error

    def execute_command(self, *_: Any, **__: Any) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (redis.exceptions.NoPermissionError("this user has no permissions"), AskAlone),
        (redis.ResponseError("unknown command 'MGET'"), AskAlone),
        (redis.ConnectionError("gone"), BackendError),
    ],
)
def test_a_server_without_that_command_is_asked_one_by_one(
    error: Exception, raised: type[BackendError], client: redis.Redis
) -> None:
    """A user of the server may have the right to GET alone; a lost server is an error."""
    backend = RedisBackend(client)
    backend._ask = Refusing(error).execute_command
    with pytest.raises(BackendError) as told:
        backend.get_many(["a", "b"])
    assert type(told.value) is raised
    assert backend.evicts() == ""


def test_a_cluster_is_asked_once_for_each_node(tmp_path: Path) -> None:
    """A hundred keys are on all masters; those of one node are one question, plain and awaited."""
    keys = [f"lists:{number}" for number in range(100)]
    with redis_servers.cluster(tmp_path, replicas=0) as nodes, ExitStack() as stack:
        admins = [stack.enter_context(redis.Redis(port=node.port)) for node in nodes]

        def reads() -> list[int]:
            return [int(each.info("stats")["total_reads_processed"]) for each in admins]

        def asked(since: list[int]) -> list[int]:
            own = 1  # the question how many there were
            return [now - before - own for now, before in zip(reads(), since, strict=True)]

        for kind in (redis.RedisCluster, valkey.ValkeyCluster):
            with kind(host="127.0.0.1", port=nodes[0].port) as client:
                backend = RedisBackend(client)
                for key in keys[1:]:
                    backend.swap(key, None, key.encode(), 60)
                before = reads()
                found = backend.get_many(keys)
                assert asked(before) == [1, 1, 1]
                assert {key: found[key].record for key in found} == {
                    key: key.encode() for key in keys[1:]
                }

        async def awaited(kind: Any) -> None:
            async with kind(host="127.0.0.1", port=nodes[0].port) as client:
                backend = AsyncRedisBackend(client)
                assert await backend.get_many(keys) == found  # it is connected
                before = reads()
                assert await backend.get_many(keys) == found
                assert asked(before) == [1, 1, 1]

        asyncio.run(awaited(redis.asyncio.RedisCluster))
        asyncio.run(awaited(valkey.asyncio.ValkeyCluster))


def test_the_policy_of_a_server_is_told(tmp_path: Path) -> None:
    """Only if it has a limit, and drops records when that is reached."""
    with servers.redis_server(tmp_path, program=servers.find("redis-server")) as path:
        with redis.Redis(unix_socket_path=path) as client:
            backend = RedisBackend(client)
            assert backend.evicts() == ""
            client.config_set("maxmemory-policy", "allkeys-lru")
            assert backend.evicts() == ""
            client.config_set("maxmemory", "100mb")
            assert backend.evicts() == "allkeys-lru"

        async def awaited() -> str:
            waiting = redis.asyncio.Redis(unix_socket_path=path)
            try:
                return await AsyncRedisBackend(waiting).evicts()
            finally:
                await waiting.aclose()

        assert asyncio.run(awaited()) == "allkeys-lru"

"""Commands of requests that are under way at once, over a real Redis."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from coatcheck.storage.backends.redis_batch import Together

Scene = Callable[[redis.asyncio.Redis, Together], Awaitable[None]]


@asynccontextmanager
async def asked_together(socket: str, **options: Any) -> AsyncIterator[tuple[Any, Together]]:
    client = redis.asyncio.Redis(unix_socket_path=socket, **options)
    try:
        yield client, Together(client, refused=ResponseError)
    finally:
        await client.aclose()


async def connections(client: Any) -> int:
    found: dict[str, int] = await client.info("stats")
    return found["total_connections_received"]


def test_everybody_gets_the_answer_to_their_own_command(redis_socket: str) -> None:
    """Sixty-four at once, and each reads what it wrote."""

    async def scene() -> None:
        async with asked_together(redis_socket) as (_, together):

            async def one(number: int) -> bytes:
                await together.ask("SET", f"together:{number}", str(number))
                answer: bytes = await together.ask("GET", f"together:{number}")
                return answer

            answers = await asyncio.gather(*map(one, range(64)))
            assert answers == [str(number).encode() for number in range(64)]

    asyncio.run(scene())


def test_requests_at_once_share_connections(redis_socket: str) -> None:
    """The server counts: two connections for sixty-four commands of one tick."""

    async def scene() -> None:
        async with asked_together(redis_socket) as (client, together):
            before = await connections(client)
            await asyncio.gather(*(together.ask("GET", "nothing") for _ in range(64)))
            assert await connections(client) - before <= 1  # the other is the client's first

    asyncio.run(scene())


async def calls(client: Any) -> dict[str, int]:
    found: dict[str, dict[str, int]] = await client.info("commandstats")
    return {name.removeprefix("cmdstat_"): stats["calls"] for name, stats in found.items()}


async def read_together(together: Together, name: str, number: int) -> list[Any]:
    """Ask for so many keys at once, beside a command that is no read."""
    reads = (together.ask("GET", f"{name}:{n}") for n in range(number))
    _, *answers = await asyncio.gather(together.ask("PING"), *reads, together.ask("ECHO", "x"))
    return answers


def test_reads_at_once_are_one_command(redis_socket: str) -> None:
    """The server counts one MGET, whose answers are everybody's own; what else was asked stays."""

    async def scene() -> None:
        async with asked_together(redis_socket) as (client, together):
            await client.mset({f"many:{n}": n for n in range(9)})
            await client.config_resetstat()
            assert await read_together(together, "many", 10) == [
                *(b"%d" % n for n in range(9)),
                None,
                b"x",
            ]
            counted = await calls(client)
            assert (counted["mget"], counted.get("get", 0)) == (1, 0)

    asyncio.run(scene())


def test_who_may_not_read_many_keys_reads_them_one_by_one(redis_socket: str) -> None:
    """A user of the server with the right to GET alone is served as before, and asked once."""

    async def scene() -> None:
        async with asked_together(redis_socket) as (client, _):
            await client.set("few:0", "there")
            rights = ["on", ">word", "~*", "+get", "+ping", "+echo"]
            await client.execute_command("ACL", "SETUSER", "reader", "reset", *rights)
            reader = redis.asyncio.Redis(
                unix_socket_path=redis_socket, username="reader", password="word"
            )
            together = Together(reader, refused=ResponseError)
            await client.config_resetstat()
            for _ in range(2):
                assert await read_together(together, "few", 3) == [b"there", None, None, b"x"]
            counted = await client.info("commandstats")
            assert counted["cmdstat_mget"]["rejected_calls"] == 1
            assert counted["cmdstat_get"]["calls"] == 6
            await reader.aclose()

    asyncio.run(scene())


class Odd:
    """A client whose server, or the proxy before it, answers MGET in its own way."""

    def __init__(self, client: Any, *answers: Any) -> None:
        self.pipeline = client.pipeline
        self._execute = client.execute_command
        self._answers = list(answers)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] != "MGET" or not self._answers:
            return await self._execute(*args, **options)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize("answer", [ResponseError("BUSY a script runs"), [b"x"], None])
def test_what_goes_wrong_once_is_asked_in_a_pipeline_once(redis_socket: str, answer: Any) -> None:
    """Everybody gets their answer, and the next tick is read by one command again."""

    async def scene() -> None:
        async with asked_together(redis_socket) as (client, _):
            together = Together(Odd(client, answer), refused=ResponseError)
            await client.set("odd:1", "there")
            for _ in range(2):
                await client.config_resetstat()
                assert await read_together(together, "odd", 3) == [None, b"there", None, b"x"]
            assert (await calls(client))["mget"] == 1

    asyncio.run(scene())


def test_an_error_is_the_answer_of_its_own_command_alone(redis_socket: str) -> None:
    """One command that the server refuses does not fail the others of its pipeline."""

    async def scene() -> None:
        async with asked_together(redis_socket) as (client, together):
            await client.rpush("together:list", "x")
            answers = await asyncio.gather(
                together.ask("PING"),
                together.ask("INCR", "together:list"),
                together.ask("ECHO", "still here"),
                return_exceptions=True,
            )
            assert isinstance(answers[1], ResponseError)
            assert answers[2] == b"still here"

    asyncio.run(scene())


def test_a_server_that_is_gone_is_everybodys_error(redis_socket: str) -> None:
    """Nobody waits for an answer that cannot come."""

    async def scene() -> None:
        path, once = f"{redis_socket}-that-is-not-there", Retry(NoBackoff(), 0)
        async with asked_together(path, retry=once) as (_, together):
            asking = (together.ask("GET", "nothing") for _ in range(3))
            answers = await asyncio.gather(*asking, return_exceptions=True)
            assert all(isinstance(answer, redis.exceptions.ConnectionError) for answer in answers)

    asyncio.run(scene())


@pytest.mark.parametrize("ticks", [1, 2])
def test_a_request_that_is_cancelled_leaves_the_others_alone(redis_socket: str, ticks: int) -> None:
    """Its command is not sent, or was sent already; its answer is nobody's."""

    async def scene() -> None:
        async with asked_together(redis_socket) as (_, together):
            tasks = [asyncio.ensure_future(together.ask("ECHO", str(n))) for n in range(4)]
            for _ in range(ticks):
                await asyncio.sleep(0)
            tasks[2].cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            assert answers[:2] == [b"0", b"1"]
            assert isinstance(answers[2], asyncio.CancelledError)
            assert answers[3] == b"3"

    asyncio.run(scene())


def test_when_the_loop_ends_nobody_is_left_waiting(redis_socket: str) -> None:
    """A pipeline that is cancelled cancels those who wait for it."""

    async def scene() -> None:
        async with asked_together(redis_socket) as (_, together):
            tasks = [asyncio.ensure_future(together.ask("ECHO", str(n))) for n in range(3)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            for pipeline in together._sending:
                pipeline.cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            assert answers[0] == b"0"
            assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[1:])

    asyncio.run(scene())


@pytest.mark.parametrize("number", [1, 2])
def test_who_asks_alone_asks_the_client(redis_socket: str, number: int) -> None:
    """One after the other, no pipeline is made."""

    async def scene() -> None:
        async with asked_together(redis_socket) as (client, together):
            made = 0

            def pipeline(*_: object, **__: object) -> object:
                nonlocal made
                made += 1
                raise AssertionError

            client.pipeline = pipeline
            for _ in range(number):
                assert await together.ask("PING")
            assert made == 0

    asyncio.run(scene())

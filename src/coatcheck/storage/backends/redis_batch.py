"""
Batches: commands of concurrent requests, sent to Redis together.

A command is sent at once if no reply is pending; otherwise it waits for the batch of this turn of
the event loop. A batch sends its reads as one MGET and the rest as one pipeline. So 64 concurrent
requests take a few writes on a few connections instead of 64 on as many. A batch does not wait for
the replies to an earlier one, so timeouts do not add up, unless every connection that the client
may open is in use. The order of commands has no meaning here: each is atomic by itself.
"""

import asyncio
from collections.abc import Awaitable, Coroutine
from functools import partial
from typing import Any, Protocol

import msgspec

from coatcheck._cookie.hidden import Hidden
from coatcheck.storage.backends.redis_connections import NO_LIMIT, Limit


class Pipeline(Protocol):
    """The methods used of a client's pipeline."""

    def execute_command(self, *args: Any, **options: Any) -> object: ...
    def execute(self, raise_on_error: bool = ...) -> Awaitable[list[Any]]: ...  # noqa: FBT001 (theirs)


class PipelineClient(Protocol):
    """The methods used of an asyncio client of one server."""

    def execute_command(self, *args: Any, **options: Any) -> Awaitable[Any]: ...
    def pipeline(self, *, transaction: bool) -> Pipeline: ...


_FOR_GOOD = ("permission", "unknown command", "CROSSSLOT", "hash to the same slot")
"""Parts of errors after which the server will refuse the same command the next time, too."""

PendingReply = asyncio.Future[Any]


class Command(Hidden, msgspec.Struct):
    """A command, and the future that gets its reply."""

    args: tuple[Any, ...]
    options: dict[str, Any]
    answer: PendingReply


class Together:
    """
    Send commands to a server, those of concurrent requests in one batch.

    Args:
        refused: What the client raises when the server refuses a command.
        limit: How many connections it may open, and how long a command may wait for one.
    """

    def __init__(
        self,
        client: PipelineClient,
        *,
        refused: type[Exception],
        limit: Limit = NO_LIMIT,
    ) -> None:
        self._client = client
        self._refused = refused
        self._limit = limit
        self._has_mget = True
        self._under_way = 0  # answers that are waited for, those of one sending counting as one
        self._next: list[Command] = []
        self._sending: set[asyncio.Task[list[Any]]] = set()  # the loop itself holds tasks weakly

    async def ask(self, *args: Any, **options: Any) -> Any:
        """Return what the client's `execute_command` would; errors are the client's own."""
        if not self._under_way:
            self._under_way += 1
            try:
                return await self._client.execute_command(*args, **options)
            finally:
                self._end_one()
        loop = asyncio.get_running_loop()
        if not self._next:
            loop.call_soon(self._send)
        answer = loop.create_future()
        self._next.append(Command(args, options, answer))
        if self._under_way < self._limit.connections:
            return await answer
        async with asyncio.timeout(self._limit.seconds):
            return await answer

    def _end_one(self) -> None:
        """Note that a connection is free again."""
        self._under_way -= 1
        if self._next and self._under_way == self._limit.connections - 1:
            self._send()

    def _send(self) -> None:
        free = self._limit.connections - self._under_way
        if free < 1:
            return  # `_end_one` sends what waits
        # What was cancelled while it waited is not sent.
        commands = [command for command in self._next if not command.answer.done()]
        self._next = []
        if not commands:
            return
        if self._has_mget and free > 1:
            reads = [command for command in commands if command.args[0] == "GET"]
            if len(reads) > 1:
                self._begin(self._read(reads), reads)
                if len(reads) == len(commands):
                    return
                commands = [command for command in commands if command.args[0] != "GET"]
        self._begin(self._answers(commands), commands)

    def _begin(self, asking: Coroutine[Any, Any, list[Any]], commands: list[Command]) -> None:
        self._under_way += 1
        task = asyncio.ensure_future(asking)
        self._sending.add(task)
        task.add_done_callback(partial(self._answered, [each.answer for each in commands]))

    async def _read(self, commands: list[Command]) -> list[Any]:
        """
        Return what lies under all keys, by one command; what is no string counts as absent.

        It takes 3 µs a key where redis-py's pipeline takes 12, most of it to await each answer.
        """
        keys = [command.args[1] for command in commands]
        try:
            answers = await self._client.execute_command("MGET", *keys)
        except self._refused as refusal:
            # A user of the server may have the right to GET alone, and some proxies know no MGET.
            self._has_mget = not any(reason in str(refusal) for reason in _FOR_GOOD)
        else:
            if isinstance(answers, list) and len(answers) == len(keys):
                return answers
        return await self._answers(commands)

    async def _answers(self, commands: list[Command]) -> list[Any]:
        if len(commands) == 1:
            (command,) = commands
            return [await self._client.execute_command(*command.args, **command.options)]
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command.args, **command.options)
        return await pipeline.execute(raise_on_error=False)

    def _answered(self, waiting: list[PendingReply], task: "asyncio.Task[list[Any]]") -> None:
        self._sending.discard(task)
        self._end_one()
        failure = asyncio.CancelledError() if task.cancelled() else task.exception()
        answers = [failure] * len(waiting) if failure else task.result()
        for who, answer in zip(waiting, answers, strict=True):
            if who.done():  # its request was cancelled
                continue
            if not isinstance(answer, BaseException):
                who.set_result(answer)
            elif isinstance(answer, asyncio.CancelledError):
                who.cancel()
            else:
                who.set_exception(answer)

"""
Commands of requests that are under way at once, sent to Redis together.

Whoever asks while nobody else waits for an answer asks alone, as fast as the client can. Whatever
else is asked in the same tick of the event loop goes out as one pipeline, on one connection: 64
requests at once take a few writes on a few connections instead of 64 on as many. None waits for an
earlier pipeline, so that no timeout adds to another. The order of commands means nothing here: each
is atomic by itself.
"""

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Any, NamedTuple, Protocol


class Pipeline(Protocol):
    """What is used of a client's pipeline."""

    def execute_command(self, *args: Any, **options: Any) -> object: ...
    def execute(self, raise_on_error: bool = ...) -> Awaitable[list[Any]]: ...  # noqa: FBT001 (theirs)


class PipelineClient(Protocol):
    """What is used of an asyncio client of one server."""

    def execute_command(self, *args: Any, **options: Any) -> Awaitable[Any]: ...
    def pipeline(self, *, transaction: bool) -> Pipeline: ...


class Command(NamedTuple):
    """A command, and who waits for its answer."""

    args: tuple[Any, ...]
    options: dict[str, Any]
    answer: "asyncio.Future[Any]"


class Together:
    """Ask a server, together with whoever asks at the same time."""

    def __init__(self, client: PipelineClient) -> None:
        self._client = client
        self._under_way = 0  # answers that are waited for, a pipeline's counting as one
        self._next: list[Command] = []
        self._sending: set[asyncio.Task[list[Any]]] = set()  # the loop itself holds tasks weakly

    async def ask(self, *args: Any, **options: Any) -> Any:
        """Return what the client's `execute_command` would; errors are the client's own."""
        if not self._under_way:
            self._under_way += 1
            try:
                return await self._client.execute_command(*args, **options)
            finally:
                self._under_way -= 1
        loop = asyncio.get_running_loop()
        if not self._next:
            loop.call_soon(self._send)
        command = Command(args, options, loop.create_future())
        self._next.append(command)
        return await command.answer

    def _send(self) -> None:
        commands, self._next = self._next, []
        self._under_way += 1
        task = asyncio.ensure_future(self._answers(commands))
        self._sending.add(task)
        task.add_done_callback(partial(self._answered, commands))

    async def _answers(self, commands: list[Command]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command.args, **command.options)
        return await pipeline.execute(raise_on_error=False)

    def _answered(self, commands: list[Command], task: "asyncio.Task[list[Any]]") -> None:
        self._sending.discard(task)
        self._under_way -= 1
        failure = asyncio.CancelledError() if task.cancelled() else task.exception()
        answers = [failure] * len(commands) if failure else task.result()
        for (_, _, waiting), answer in zip(commands, answers, strict=True):
            if waiting.done():  # its request was cancelled
                continue
            if isinstance(answer, asyncio.CancelledError):
                waiting.cancel()
            elif isinstance(answer, BaseException):
                waiting.set_exception(answer)
            else:
                waiting.set_result(answer)

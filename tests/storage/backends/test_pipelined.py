"""One connection for many requests: what is sent when, whose answer is whose, and how it ends."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from coatcheck.storage.backends.pipelined import (
    ConnectionLost,
    PipelinedConnection,
    SharedConnection,
)
from coatcheck.storage.lasting import Lasting

FOREVER = 60.0


class Lines(PipelinedConnection[str]):
    """A protocol whose answers are lines, of which "?" is none."""

    def __init__(self, timeout: float | None = FOREVER) -> None:
        super().__init__(timeout)
        self._rest = b""

    def received(self, data: memoryview) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if self.oldest is None or line == b"?":
                self.fail(ValueError("no answer"))
                return
            self.take(f"{self.oldest}: {line.decode()}")


class Wire(asyncio.BaseTransport):
    """
    A transport that remembers what was written, and sends nothing.

    As uvloop's, it is no `asyncio.Transport`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.aborted = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.aborted.is_set()

    def abort(self) -> None:
        self.aborted.set()


def wired(timeout: float | None = FOREVER) -> tuple[Wire, Lines]:
    """Return a connection of the running loop, and what it writes to."""
    wire, connection = Wire(), Lines(timeout)
    connection.connection_made(wire)
    return wire, connection


def hears(connection: Lines, data: bytes) -> None:
    """Let a connection receive bytes."""
    connection.get_buffer(-1)[: len(data)] = data
    connection.buffer_updated(len(data))


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario that waits for no server: it fails if it waits for ever."""
    asyncio.run(asyncio.wait_for(scenario(), 10))


def test_commands_of_one_turn_are_sent_together() -> None:
    """The first goes at once; nothing is sent after the connection was closed."""

    async def scenario() -> None:
        wire, connection = wired()
        asks = [connection.ask(each, "") for each in (b"a", b"b", b"c")]
        assert wire.written == [b"a"]
        await asyncio.sleep(0)
        assert wire.written == [b"a", b"bc"]
        asks.append(connection.ask(b"d", ""))
        connection.close()
        connection.connection_lost(None)
        answers = await asyncio.gather(*asks, return_exceptions=True)
        assert [type(each) for each in answers] == [ConnectionLost] * 4
        assert len(wire.written) == 2
        with pytest.raises(ConnectionLost):
            connection.ask(b"e", "")

    run(scenario)


def test_answers_find_their_requests_in_any_pieces() -> None:
    """They come in the order of the commands; a request that is cancelled leaves its answer."""

    async def scenario() -> None:
        _, connection = wired()
        first, second, third = (connection.ask(b"", name) for name in "abc")
        second.cancel()
        for piece in (b"o", b"ne\ntwo\nth", b"ree\n"):
            hears(connection, piece)
        assert await first == "a: one"
        assert await third == "c: three"
        assert connection.oldest is None

    run(scenario)


def test_a_request_goes_on_where_its_answer_arrives() -> None:
    """Not in the next turn of the loop; it may ask again while other answers are still to come."""

    async def scenario() -> None:
        _, connection = wired()
        seen: list[str] = []

        async def ask_twice() -> None:
            seen.append(await connection.ask(b"", "a"))
            seen.append(await connection.ask(b"", "c"))

        request = asyncio.create_task(ask_twice())
        await asyncio.sleep(0)
        other = connection.ask(b"", "b")
        told = asyncio.get_running_loop().create_future()

        def arrives() -> None:
            hears(connection, b"one\ntwo\nthree\n")
            told.set_result(list(seen))

        asyncio.get_running_loop().call_soon(arrives)
        assert await told == ["a: one", "c: three"]
        assert await other == "b: two"
        await request

    run(scenario)


def test_what_is_no_answer_fails_one_request_and_closes_the_connection() -> None:
    """The others behind it learn that the connection was lost, and may ask again."""

    async def scenario() -> None:
        wire, connection = wired()
        first, second = connection.ask(b"", "a"), connection.ask(b"", "b")
        hears(connection, b"?\nfor b\n")
        assert wire.aborted.is_set()
        with pytest.raises(ValueError, match="no answer"):
            await first
        connection.connection_lost(None)
        with pytest.raises(ConnectionLost):
            await second

    run(scenario)


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_what_comes_without_a_command_closes_the_connection(is_cancelled: bool) -> None:
    """Also nonsense for a request that is gone: neither has a request to fail."""

    async def scenario() -> None:
        wire, connection = wired()
        if is_cancelled:
            connection.ask(b"", "").cancel()
        hears(connection, b"?\n")
        assert wire.aborted.is_set()
        assert not connection.is_open

    run(scenario)


def test_an_answer_that_is_late_ends_the_wait_of_its_request_alone() -> None:
    """The connection takes no more commands, and ends when none is under way."""

    async def scenario() -> None:
        wire, connection = wired(0.02)
        late, other = connection.ask(b"", "a"), connection.ask(b"", "b", due=later(FOREVER))
        with pytest.raises(TimeoutError):
            await late
        assert not connection.is_open
        assert not wire.aborted.is_set()
        hears(connection, b"too late\nin time\n")
        assert await other == "b: in time"
        connection._look()
        assert wire.aborted.is_set()

    run(scenario)


def test_a_late_answer_ends_a_connection_also_if_its_request_was_cancelled() -> None:
    """Else requests with shorter limits of their own would keep a dead connection."""

    async def scenario() -> None:
        wire, connection = wired(0.01)
        connection.ask(b"", "").cancel()
        await wire.aborted.wait()
        assert not connection.is_open

    run(scenario)


def test_a_connection_whose_answers_have_all_come_stays() -> None:
    """Its timer finds nothing to do."""

    async def scenario() -> None:
        wire, connection = wired(0.01)
        answer = connection.ask(b"", "a")
        hears(connection, b"in time\n")
        assert await answer == "a: in time"
        await asyncio.sleep(0.02)
        assert connection.is_open
        assert not wire.aborted.is_set()

    run(scenario)


def test_a_connection_is_abandoned_from_any_thread_while_its_loop_runs() -> None:
    """The garbage collector runs in any of them; a loop that is closed has closed it."""
    made: list[tuple[Wire, Lines]] = []

    async def scenario() -> None:
        made.extend((wired(), wired()))
        await asyncio.to_thread(made[0][1].abandon)
        await made[0][0].aborted.wait()

    run(scenario)
    made[1][1].abandon()
    assert not made[1][0].aborted.is_set()


def test_a_command_may_be_due_before_those_that_were_sent_before_it() -> None:
    """One that needed a new connection first has waited already."""

    async def scenario() -> None:
        _, connection = wired()
        first = connection.ask(b"", "")
        with pytest.raises(TimeoutError):
            await connection.ask(b"", "", due=later(0.0))
        assert not first.done()

    run(scenario)


def test_without_a_limit_an_answer_is_waited_for_without_a_timer() -> None:
    """None is for ever."""

    async def scenario() -> None:
        _, connection = wired(None)
        connection.ask(b"", "")
        assert connection._timer is None

    run(scenario)


def test_a_write_can_outlive_the_cancellation_of_its_request() -> None:
    """A lasting future is not cancelled with the task that waits for it."""

    async def scenario() -> None:
        _, connection = wired()
        write = connection.ask(b"", "a", lasting=True)
        assert type(write) is Lasting
        assert not write.cancel()
        hears(connection, b"done\n")
        assert await write == "a: done"

    run(scenario)


def later(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


class Makes:
    """
    Makes connections over one end of a pair of sockets.

    Attributes:
        made: They, in order.
        may_go_on: Cleared, none is made.
        error: Raised in place of the next one.
    """

    def __init__(self) -> None:
        self.made: list[Lines] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.error: Exception | None = None
        self.others: list[socket.socket] = []

    async def __call__(self) -> Lines:
        await self.may_go_on.wait()
        if self.error:
            raise self.error
        one, other = socket.socketpair()
        self.others.append(other)
        _, connection = await asyncio.get_running_loop().create_connection(Lines, sock=one)
        self.made.append(connection)
        return connection


@asynccontextmanager
async def shared() -> AsyncIterator[tuple[SharedConnection[Lines], Makes]]:
    makes = Makes()
    connection = SharedConnection(makes)
    yield connection, makes
    await connection.close()
    for other in makes.others:
        other.close()


def test_requests_that_need_a_connection_at_once_share_one() -> None:
    """A request that is cancelled meanwhile does not end it for the others."""

    async def scenario() -> None:
        async with shared() as (connection, makes):
            makes.may_go_on.clear()
            calls = [asyncio.create_task(connection.renewed()) for _ in range(3)]
            await asyncio.sleep(0)
            calls[0].cancel()
            makes.may_go_on.set()
            found = await asyncio.gather(*calls[1:])
            assert found == makes.made * 2
            assert connection.current is await connection.renewed() is makes.made[0]

    run(scenario)


def test_a_connection_that_ended_is_made_again() -> None:
    """So is one that could not be made; its error is that of making it."""

    async def scenario() -> None:
        async with shared() as (connection, makes):
            makes.error = OSError("refused")
            with pytest.raises(OSError, match="refused"):
                await connection.renewed()
            makes.error = None
            first = await connection.renewed()
            makes.others[0].close()
            await first.ended
            second = await connection.renewed()
            assert makes.made == [first, second]

    run(scenario)


def test_the_wait_for_a_connection_has_a_limit() -> None:
    """It is made all the same, for the requests that come later."""

    async def scenario() -> None:
        async with shared() as (connection, makes):
            makes.may_go_on.clear()
            with pytest.raises(TimeoutError):
                await connection.renewed(0.001)
            makes.may_go_on.set()
            assert await connection.renewed() is makes.made[0]

    run(scenario)


def test_close_ends_a_connection_that_is_being_made() -> None:
    """Requests that wait for it fail, and no later one makes another."""

    async def scenario() -> None:
        async with shared() as (connection, makes):
            makes.may_go_on.clear()
            call = asyncio.create_task(connection.renewed())
            await asyncio.sleep(0)
            await connection.close()
            for each in (call, connection.renewed()):
                with pytest.raises(ConnectionError, match="the storage was closed"):
                    await each
            assert not makes.made

    run(scenario)


def test_close_ends_also_a_connection_that_still_waits_for_answers() -> None:
    """One that takes no more commands was replaced, and is not forgotten."""

    async def scenario() -> None:
        async with shared() as (connection, _):
            first = await connection.renewed()
            answer = first.ask(b"", "")
            first.is_open = False  # as after an answer that was late
            second = await connection.renewed()
            await connection.close()
            assert first.ended.done()
            assert second.ended.done()
            with pytest.raises(ConnectionLost):
                await answer

    run(scenario)

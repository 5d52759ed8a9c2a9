"""Calls of concurrent requests, made as one call of a backend."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest

from coatcheck.errors import BackendError
from coatcheck.storage.backend import AskAlone, Refused, Stored, Swap
from coatcheck.storage.backends.batching import BatchingBackend, Limits

HOUR = 3600.0

Scene = Callable[["Server", BatchingBackend], Awaitable[None]]


class Server:
    """Records in a dict; notes its calls, and answers when the test opens the gate."""

    def __init__(self) -> None:
        self.records: dict[str, Stored] = {}
        self.calls: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fail: dict[str, Exception] = {}
        self.answers: Any = None

    async def get(self, key: str) -> Stored | None:
        return (await self.get_many([key])).get(key)

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, Stored]:
        await self._called(keys)
        return {key: self.records[key] for key in keys if key in self.records}

    async def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        await self._called([key])
        return self._swapped(Swap(key, version, record, ttl))

    async def swap_many(self, swaps: Sequence[Swap]) -> Sequence[Refused | BackendError | None]:
        await self._called([swap.key for swap in swaps])
        if self.answers is not None:
            found: Sequence[Refused | BackendError | None] = self.answers
            return found
        return [self._swapped(swap) for swap in swaps]

    async def delete(self, key: str) -> None:
        self.records.pop(key, None)

    def _swapped(self, swap: Swap) -> Refused | None:
        there = self.records.get(swap.key)
        if (there and there.version) != swap.version:
            return Refused(there)
        self.records[swap.key] = Stored(swap.record, object())
        return None

    async def _called(self, keys: Sequence[str]) -> None:
        self.calls.append(list(keys))
        await asyncio.sleep(0)  # a server never answers at once
        await self.gate.wait()
        failures = [self.fail[key] for key in keys if key in self.fail]
        if failures:
            raise failures[0]


def play(scene: Scene, **limits: Any) -> None:
    """Let a scene run over a new server, with these limits for reads and writes."""

    async def played() -> None:
        server, bounds = Server(), Limits(**limits)
        for key in "abcdefgh":
            server.records[key] = Stored(key.encode(), 1)
        await scene(server, BatchingBackend(server, reads=bounds, writes=bounds))

    asyncio.run(played())


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_call_by_itself_is_made_at_once() -> None:
    """One after the other, each is a call of its own, and no task is made."""

    async def scene(server: Server, batching: BatchingBackend) -> None:
        for key in "ab":
            found = await batching.get(key)
            assert found and found.record == key.encode()
        assert server.calls == [["a"], ["b"]]
        assert len(asyncio.all_tasks()) == 1

    play(scene)


def test_calls_at_once_are_one_batch() -> None:
    """The first goes ahead; the others share a call, and each gets its own answer."""

    async def scene(server: Server, batching: BatchingBackend) -> None:
        found = await asyncio.gather(*map(batching.get, "abcdxa"))
        assert [each and each.record for each in found] == [b"a", b"b", b"c", b"d", None, b"a"]
        assert server.calls == [["a"], ["b", "c", "d", "x", "a"]]

    play(scene)


def test_after_a_batch_the_first_waits_for_company() -> None:
    """Requests that were answered together ask again together; a lone one ends that."""

    async def scene(server: Server, batching: BatchingBackend) -> None:
        await asyncio.gather(*map(batching.get, "abc"))
        server.calls.clear()
        await asyncio.gather(*map(batching.get, "abc"))
        assert server.calls == [["a", "b", "c"]]
        for key in "ab":
            await batching.get(key)
        assert server.calls[1:] == [["a"], ["b"]]

    play(scene)


def test_more_batches_than_lanes_are_never_under_way() -> None:
    """What comes meanwhile gathers, and goes together."""

    async def scene(server: Server, batching: BatchingBackend) -> None:
        server.gate.clear()
        asked = []
        for key in "abcdef":
            asked.append(asyncio.ensure_future(batching.get(key)))
            await turns()
        assert server.calls == [["a"], ["b"]]
        server.gate.set()
        await asyncio.gather(*asked)
        assert server.calls == [["a"], ["b"], ["c", "d", "e", "f"]]

    play(scene, lanes=2)


def test_many_calls_are_spread_over_the_lanes() -> None:
    """Each lane gets its share, but no more than a batch holds."""

    async def scene(server: Server, batching: BatchingBackend) -> None:
        await asyncio.gather(*map(batching.get, "abcdefgh"))
        assert [len(call) for call in server.calls] == [1, 3, 2, 2]

    play(scene, lanes=3, spread=2)


def test_a_busy_lane_gets_its_share_when_it_is_free() -> None:
    """If all calls went at once, the batches of two lanes would stay as unequal for ever."""

    async def scene(server: Server, batching: BatchingBackend) -> None:
        server.gate.clear()
        asked = [asyncio.ensure_future(batching.get("a"))]
        await turns()
        asked += [asyncio.ensure_future(batching.get(key)) for key in "bcdefgh"]
        await turns()
        assert [len(call) for call in server.calls] == [1, 4]
        server.gate.set()
        await asyncio.gather(*asked)
        assert [len(call) for call in server.calls] == [1, 4, 3]

    play(scene, lanes=2, spread=4)


def test_a_batch_holds_so_many_calls() -> None:
    """The rest waits for the next one, in its order."""

    async def scene(server: Server, batching: BatchingBackend) -> None:
        await asyncio.gather(*map(batching.get, "abcdefgh"))
        assert server.calls == [["a"], ["b", "c", "d"], ["e", "f", "g"], ["h"]]

    play(scene, lanes=2, calls=3)


async def write_all(batching: BatchingBackend, *writes: tuple[str, object, bytes]) -> list[Any]:
    swaps = (batching.swap(key, version, record, HOUR) for key, version, record in writes)
    return await asyncio.gather(*swaps, return_exceptions=True)


def test_a_batch_of_writes_holds_so_many_bytes() -> None:
    """A record that is larger goes alone."""

    async def scene(server: Server, batching: BatchingBackend) -> None:
        sizes = {"a": 1, "b": 6, "c": 6, "d": 90, "e": 4}
        await write_all(batching, *((key, 1, b"x" * size) for key, size in sizes.items()))
        assert server.calls == [["a"], ["b", "e"], ["c"], ["d"]]

    play(scene, size=10)


def test_two_writes_of_one_key_never_share_a_batch() -> None:
    """The second is refused with what the first one left, as if it had come later."""

    async def scene(server: Server, batching: BatchingBackend) -> None:
        answers = await write_all(
            batching, ("a", 1, b"1"), ("b", 1, b"2"), ("b", 1, b"3"), ("c", 1, b"4")
        )
        assert server.calls == [["a"], ["b", "c"], ["b"]]
        assert answers[:2] == [None, None]
        assert answers[2].stored.record == b"2"
        assert answers[3] is None

    play(scene)


def test_each_write_has_its_own_version() -> None:
    """A stale one is refused, and the others are done."""

    async def scene(server: Server, batching: BatchingBackend) -> None:
        answers = await write_all(
            batching, ("a", 1, b"1"), ("b", 2, b"2"), ("c", 1, b"3"), ("x", None, b"4")
        )
        assert [type(answer) for answer in answers] == [type(None), Refused, type(None), type(None)]
        assert server.records["b"].record == b"b"
        assert server.records["x"].record == b"4"

    play(scene)


@pytest.mark.parametrize("kind", ["reads", "writes"])
def test_a_call_that_fails_in_a_batch_fails_alone(kind: str) -> None:
    """A batch that changed nothing is made again call by call."""

    async def scene(server: Server, batching: BatchingBackend) -> None:
        server.fail["c"] = AskAlone("test", "write")
        if kind == "reads":
            answers = await asyncio.gather(*map(batching.get, "abcd"), return_exceptions=True)
        else:
            answers = await write_all(batching, *((key, 1, b"new") for key in "abcd"))
        assert isinstance(answers.pop(2), AskAlone)
        assert not any(isinstance(answer, Exception) for answer in answers)
        assert server.calls == [["a"], ["b", "c", "d"], ["b"], ["c"], ["d"]]

    play(scene)


def test_one_answer_of_a_batch_may_ask_for_its_call_alone() -> None:
    """Such as a row that somebody else holds: it is made again, and the others are done."""

    async def scene(server: Server, batching: BatchingBackend) -> None:
        server.answers = [None, AskAlone("test", "write"), BackendError("test", "write")]
        answers = await write_all(batching, *((key, 1, b"new") for key in "abcd"))
        assert answers[:3] == [None, None, None]
        assert isinstance(answers[3], BackendError)
        assert server.calls == [["a"], ["b", "c", "d"], ["c"]]

    play(scene)


@pytest.mark.parametrize("error", [BackendError("test", "read"), ValueError("a fault")])
def test_a_server_that_is_gone_is_the_error_of_all(error: Exception) -> None:
    """No call waits for an answer that cannot come, and the next one is made."""

    async def scene(server: Server, batching: BatchingBackend) -> None:
        server.fail["c"] = error
        answers = await asyncio.gather(*map(batching.get, "abcd"), return_exceptions=True)
        assert answers[1:] == [error] * 3
        found = await batching.get("a")
        assert found and found.record == b"a"

    play(scene)


def test_a_backend_that_gives_too_few_answers_is_an_error() -> None:
    """No call gets the answer of another one."""

    async def scene(server: Server, batching: BatchingBackend) -> None:
        server.answers = [None]
        answers = await write_all(batching, *((key, 1, b"new") for key in "abc"))
        assert [type(answer) for answer in answers[1:]] == [BackendError] * 2

    play(scene)


def test_a_cancelled_request_leaves_its_batch() -> None:
    """Before the batch is sent its call is left out; later its answer is dropped."""

    async def scene(server: Server, batching: BatchingBackend) -> None:
        server.gate.clear()
        first = asyncio.ensure_future(batching.get("a"))
        await turns()
        asked = [asyncio.ensure_future(batching.get(key)) for key in "bcd"]
        await asyncio.sleep(0)
        asked[0].cancel()
        await turns()
        asked[1].cancel()
        await turns()
        server.gate.set()
        found = await asyncio.gather(first, *asked, return_exceptions=True)
        assert server.calls == [["a"], ["c", "d"]]
        assert [type(each) for each in found[1:3]] == [asyncio.CancelledError] * 2
        assert found[3] == server.records["d"]

    play(scene)


def test_a_cancelled_request_waits_for_its_write() -> None:
    """It is made, also if its batch was not sent yet: half of a save would be kept otherwise."""

    async def scene(server: Server, batching: BatchingBackend) -> None:
        server.gate.clear()
        writes = [batching.swap(key, 1, b"new", HOUR) for key in "abc"]
        asked = [asyncio.ensure_future(write) for write in writes]
        await asyncio.sleep(0)
        asked[1].cancel()
        await turns()
        asked[2].cancel()
        await turns()
        assert not any(each.done() for each in asked)
        server.gate.set()
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert found[0] is None
        assert [type(each) for each in found[1:]] == [asyncio.CancelledError] * 2
        assert {server.records[key].record for key in "abc"} == {b"new"}

    play(scene)


def test_a_cancelled_request_is_not_made_again() -> None:
    """Its batch failed after it had left."""

    async def scene(server: Server, batching: BatchingBackend) -> None:
        server.fail["b"] = AskAlone("test", "read")
        server.gate.clear()
        asked = [asyncio.ensure_future(batching.get(key)) for key in "abc"]
        await turns()
        asked[1].cancel()
        await turns()
        server.gate.set()
        await asyncio.gather(*asked, return_exceptions=True)
        assert server.calls == [["a"], ["b", "c"], ["c"]]

    play(scene)


def test_when_the_loop_ends_no_write_is_left_waiting() -> None:
    """What asyncio cannot cancel is cancelled with its batch."""

    async def scene(server: Server, batching: BatchingBackend) -> None:
        server.gate.clear()
        writes = [batching.swap(key, 1, b"new", HOUR) for key in "abc"]
        asked = [asyncio.ensure_future(write) for write in writes]
        await turns()
        for task in (*batching._writes._tasks, *asked):
            task.cancel()
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(each) for each in found] == [asyncio.CancelledError] * 3

    play(scene)


@pytest.mark.parametrize("lost", ["batch", "again"])
def test_when_the_loop_ends_no_request_is_left_waiting(lost: str) -> None:
    """A batch that is cancelled cancels the requests in it; so does a call that is made again."""

    async def scene(server: Server, batching: BatchingBackend) -> None:
        if lost == "again":
            server.fail["c"] = AskAlone("test", "read")
        server.gate.clear()
        asked = [asyncio.ensure_future(batching.get(key)) for key in "abc"]
        await turns()
        if lost == "again":
            server.gate.set()
            await turns(1)
            server.gate.clear()
            await turns()
        for task in list(batching._reads._tasks):
            task.cancel()
        server.gate.set()
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert found[0] == server.records["a"]
        assert [type(each) for each in found[1:]] == [asyncio.CancelledError] * 2

    play(scene)


def test_a_request_that_ends_the_program_leaves_none_waiting() -> None:
    """The others get their answers when the loop runs once more, to end them."""
    ended: list[str] = []

    async def leave(batching: BatchingBackend) -> None:
        await batching.swap("b", 1, b"new", HOUR)
        raise SystemExit

    async def write(batching: BatchingBackend, key: str) -> None:
        try:
            await batching.swap(key, 1, b"new", HOUR)
        finally:
            ended.append(key)

    async def scene(_: Server, batching: BatchingBackend) -> None:
        first = asyncio.create_task(write(batching, "a"))
        leaving = asyncio.create_task(leave(batching))
        leaving.add_done_callback(asyncio.Task.exception)  # else it is logged
        others = [asyncio.create_task(write(batching, key)) for key in "cd"]
        await asyncio.wait([first, leaving, *others])

    with pytest.raises(SystemExit):
        play(scene)
    assert ended == ["a", "c", "d"]


def test_a_call_waits_so_long_for_a_lane() -> None:
    """Then it is an error; the calls that are under way are not touched, and the next work."""

    async def scene(server: Server, batching: BatchingBackend) -> None:
        server.gate.clear()
        first = asyncio.ensure_future(batching.get("a"))
        await turns()
        late = [asyncio.ensure_future(batching.get(key)) for key in "bc"]
        for each in late:
            with pytest.raises(BackendError, match="no connection was free in time"):
                await each
        server.gate.set()
        assert await first
        assert await batching.get("b")

    play(scene, lanes=1, wait=0.01)


def test_calls_that_came_later_wait_longer() -> None:
    """Each has its own time."""

    async def scene(server: Server, batching: BatchingBackend) -> None:
        loop = asyncio.get_running_loop()
        server.gate.clear()
        first = asyncio.ensure_future(batching.get("a"))
        await turns()
        one = asyncio.ensure_future(batching.get("b"))
        await asyncio.sleep(0.02)
        since = loop.time()
        with pytest.raises(BackendError):
            await batching.get("c")
        assert loop.time() - since > 0.03
        assert one.done()
        server.gate.set()
        await asyncio.gather(first, one, return_exceptions=True)

    play(scene, lanes=1, wait=0.04)


def test_another_loop_begins_anew() -> None:
    """What a loop leaves behind is not waited for, and its end frees no lane of the next."""

    async def leave(batching: BatchingBackend) -> list[asyncio.Task[Any]]:
        asked = [asyncio.ensure_future(batching.get(key)) for key in "ab"]
        await turns()
        return asked

    async def go_on(server: Server, batching: BatchingBackend) -> None:
        server.gate = asyncio.Event()
        server.gate.set()
        async with asyncio.timeout(5):
            assert await asyncio.gather(*map(batching.get, "ab")) == [None, None]

    server = Server()
    server.gate.clear()
    batching = BatchingBackend(server, reads=Limits(lanes=1))
    with asyncio.Runner() as one, asyncio.Runner() as other:
        left = one.run(leave(batching))
        other.run(go_on(server, batching))
        assert not any(task.done() for task in left)
        one.close()
        other.run(go_on(server, batching))


def test_what_a_backend_can_do_beside_is_passed_on() -> None:
    """Deletes, sweeps and the end go to it directly."""

    class Sweeping(Server):
        swept = 0.5
        closed = False

        async def sweep(self, limit: int) -> int:
            return limit

        async def close(self) -> None:
            self.closed = True

    async def scene() -> None:
        server = Sweeping()
        batching = BatchingBackend(server)
        await batching.swap("a", None, b"one", HOUR)
        await batching.delete("a")
        assert await batching.get("a") is None
        assert (await batching.sweep(7), batching.swept) == (7, 0.5)
        await batching.close()
        assert server.closed
        plain = BatchingBackend(Server())
        assert (await plain.sweep(7), plain.swept) == (0, 0)
        await plain.close()

    asyncio.run(scene())

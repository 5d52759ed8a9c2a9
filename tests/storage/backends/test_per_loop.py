"""One value for each event loop: who opens it, and when it goes."""

import asyncio
import gc
import logging
import threading
from collections.abc import Callable

import pytest

from coatcheck.storage.backends.per_loop import PerLoop

Make = Callable[[], PerLoop[str]]


class Log(list[str]):
    """What was opened and released, in order."""

    async def open(self) -> str:
        self.append("open")
        await asyncio.sleep(0)
        return f"value {self.count('open')}"

    async def release(self, value: str) -> None:
        await asyncio.sleep(0)
        self.append(f"release {value}")


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def values(log: Log) -> PerLoop[str]:
    return PerLoop(log.open, log.release)


def test_requests_of_one_loop_share_one_value(log: Log, values: PerLoop[str]) -> None:
    """It is opened once, also if they ask at once."""

    async def scenario() -> list[str]:
        return await asyncio.gather(*(values.get() for _ in range(5)))

    assert set(asyncio.run(scenario())) == {"value 1"}
    assert log[0] == "open"


def test_the_value_is_released_in_its_loop_when_that_ends(log: Log, values: PerLoop[str]) -> None:
    """asyncio.run ends a loop; nothing of it is held afterwards."""
    for _ in range(2):
        asyncio.run(values.get())
    assert log == ["open", "release value 1", "open", "release value 2"]
    assert len(values) == 0


def test_close_releases_it_and_the_next_call_opens_it_again(log: Log, values: PerLoop[str]) -> None:
    """So does a storage that is used again after close()."""

    async def scenario() -> None:
        await values.close()
        await values.get()
        await values.close()
        assert await values.get() == "value 2"

    asyncio.run(scenario())
    assert log == ["open", "release value 1", "open", "release value 2"]


def test_a_loop_that_was_closed_by_hand_is_dropped_when_the_next_one_asks(
    log: Log, values: PerLoop[str]
) -> None:
    """Nothing can run in it any more, so nothing is released there."""
    for _ in range(3):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(values.get())
        loop.close()
    assert len(values) == 1
    assert log == ["open"] * 3


def test_a_loop_whose_thread_ended_is_dropped_when_the_next_one_asks(values: PerLoop[str]) -> None:
    """A thread may end and leave its loop open. Nothing waits in it for whoever closes it."""
    loops = [asyncio.new_event_loop() for _ in range(3)]
    for loop in loops:
        thread = threading.Thread(target=loop.run_until_complete, args=(values.get(),))
        thread.start()
        thread.join()
    asyncio.run(values.get())
    assert len(values) == 0
    for loop in loops:
        assert not loop._ready  # type: ignore[attr-defined]
        loop.close()


def test_an_opening_that_failed_is_tried_again() -> None:
    """Each request that waited for it gets its error."""
    answers: list[str | OSError] = [OSError("no server"), "value"]

    async def open() -> str:
        await asyncio.sleep(0)
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    async def scenario() -> None:
        values = PerLoop(open, lambda _: asyncio.sleep(0))
        found = await asyncio.gather(values.get(), values.get(), return_exceptions=True)
        assert [type(each) for each in found] == [OSError, OSError]
        assert await values.get() == "value"

    asyncio.run(scenario())


def test_a_request_that_is_cancelled_leaves_the_opening_to_the_others(
    log: Log, values: PerLoop[str]
) -> None:
    """The first request waits like every other."""

    async def scenario() -> None:
        first, second = asyncio.create_task(values.get()), asyncio.create_task(values.get())
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "value 1"
        assert first.cancelled()

    asyncio.run(scenario())
    assert log == ["open", "release value 1"]


def test_an_opening_that_fails_for_nobody_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """All requests that waited for it were cancelled; asyncio has nothing to complain of."""

    async def fails() -> str:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        raise OSError("no server")

    async def scenario() -> None:
        values = PerLoop(fails, lambda _: asyncio.sleep(0))
        call = asyncio.create_task(values.get())
        await asyncio.sleep(0)
        call.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        with pytest.raises(OSError, match="no server"):
            await values.get()

    with caplog.at_level(logging.DEBUG, "asyncio"):
        asyncio.run(scenario())
        gc.collect()
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


def test_a_release_that_fails_is_no_error() -> None:
    """The server may be gone when the loop ends."""

    async def open() -> str:
        return "value"

    async def release(_: str) -> None:
        raise OSError("gone")

    values = PerLoop(open, release)
    asyncio.run(values.get())
    assert len(values) == 0

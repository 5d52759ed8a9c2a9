"""Work that runs to its end, also if the request that waits for it is cancelled."""

import asyncio
import gc
import logging

import pytest
from sqlalchemy.util import await_only

from coatcheck.storage.backends.uncancelled import async_uncancelled, uncancelled


def work(log: list[str], error: Exception | None = None) -> str:
    """Do what plain code over an asyncio engine does."""
    for _ in range(3):
        await_only(asyncio.sleep(0))
    log.append("done")
    if error:
        raise error
    return "result"


def test_the_caller_gets_the_result_or_the_error() -> None:
    """As if the work were awaited."""

    async def scenario() -> None:
        assert await async_uncancelled(work, []) == "result"
        with pytest.raises(OSError, match="no server"):
            await async_uncancelled(work, [], OSError("no server"))

    asyncio.run(scenario())
    assert uncancelled("result".upper) == "RESULT"


@pytest.mark.parametrize("error", [None, OSError("no server")])
def test_work_ends_although_the_caller_was_cancelled(
    error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    """At once for the caller; and asyncio has nothing to complain of."""
    log: list[str] = []

    async def scenario() -> None:
        call = asyncio.create_task(async_uncancelled(work, log, error))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert log == []
        for _ in range(5):
            await asyncio.sleep(0)
        assert log == ["done"]
        gc.collect()

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    assert not caplog.records

"""Futures that are not cancelled with the task that waits for them."""

import asyncio

import pytest

from coatcheck.storage.lasting import Lasting, abandon


def test_a_cancelled_task_waits_for_the_result() -> None:
    """It is cancelled when the result has come."""

    async def scene() -> None:
        lasting = Lasting[int]()

        async def wait() -> int:
            return await lasting

        waiting = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
        assert not waiting.done()
        assert not lasting.done()
        lasting.set_result(1)
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(scene())


@pytest.mark.parametrize("kind", [Lasting, asyncio.Future])
def test_a_future_whose_result_never_comes_is_abandoned(kind: type[asyncio.Future[int]]) -> None:
    """What waits for it is cancelled; one that is done stays as it is."""

    async def scene() -> None:
        waits, has = kind(), kind()
        has.set_result(1)
        for future in (waits, has):
            abandon(future)
        assert waits.cancelled()
        assert has.result() == 1

    asyncio.run(scene())

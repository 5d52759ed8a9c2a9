"""Coroutines that never wait, run where there is no event loop."""

import asyncio

import pytest

from coatcheck._request.coroutines import run_now


async def _one_more(number: int) -> int:
    return number + 1


async def _two_more(number: int) -> int:
    return await _one_more(await _one_more(number))


def test_what_never_waits_is_run_without_an_event_loop() -> None:
    """Coroutines that await nothing but each other end at once."""
    assert run_now(_two_more(1)) == 3


def test_what_waits_for_an_event_loop_cannot_be_run_now() -> None:
    """It is closed, and the error says so."""
    with pytest.raises(RuntimeError, match="event loop"):
        run_now(asyncio.sleep(0))

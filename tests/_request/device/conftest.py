"""Fixtures: a shop, and one behind either shell."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from coatcheck.testing import Clock
from tests._request.device.shops import Shop
from tests._request.test_shell import Driven


@pytest.fixture
def shop(clock: Clock) -> Shop:
    return Shop(clock)


@pytest.fixture(params=["plain", "awaited"])
def either(request: pytest.FixtureRequest, shop: Shop) -> Iterator[Shop]:
    """A shop behind either shell."""
    if request.param == "plain":
        yield shop
        return
    with asyncio.Runner() as runner:
        shop.shell = Driven(shop.cycle, runner)
        yield shop


@pytest.fixture(params=["plain", "awaited"])
def opened(request: pytest.FixtureRequest) -> Iterator[Callable[[Shop], Shop]]:
    """Puts a shop behind either shell."""
    if request.param == "plain":
        yield lambda shop: shop
        return
    with asyncio.Runner() as runner:

        def in_loop(shop: Shop) -> Shop:
            shop.shell = Driven(shop.cycle, runner)
            return shop

        yield in_loop

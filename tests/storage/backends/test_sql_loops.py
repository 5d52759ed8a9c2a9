"""An asyncio engine that event loops use one after another."""

import asyncio
import gc
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from coatcheck.storage import SqlStorage
from coatcheck.storage.backends.sql_loops import loops_of
from tests.engines import ASYNC, with_driver
from tests.faults.test_releases import FEW, open_files


async def visit(storage: Any) -> None:
    session = await storage.read(None)
    session["n"] = 1
    value = await storage.save(session)
    assert (await storage.read(value))["n"] == 1


async def visits(storage: Any) -> None:
    await asyncio.gather(*(visit(storage) for _ in range(5)))


@pytest.mark.parametrize("server", ["mariadb", "postgresql"])
def test_an_engine_outlives_its_event_loop(server: str, request: pytest.FixtureRequest) -> None:
    """Its connections are closed in the loop that opened them, and the next loop opens its own."""
    url = request.getfixturevalue(f"{server}_url")
    storage = SqlStorage(create_async_engine(with_driver(url, ASYNC)))
    asyncio.run(storage.create_table())
    before = open_files()
    for _ in range(10):
        asyncio.run(visits(storage))
    gc.collect()
    assert open_files() <= before + FEW


def test_a_database_in_memory_outlives_the_loop() -> None:
    """Its one connection is the database."""
    engine = create_async_engine("sqlite+aiosqlite://")
    storage = SqlStorage(engine)
    asyncio.run(storage.create_table())
    asyncio.run(visit(storage))
    asyncio.run(engine.dispose())


def test_two_storages_on_one_engine_ask_once() -> None:
    """The engine of an application is emptied once a loop, however many storages use it."""
    engine = create_async_engine("sqlite+aiosqlite://")
    assert loops_of(engine) is loops_of(engine)

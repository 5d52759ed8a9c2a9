"""
The event loops of an asyncio engine: its connections are closed when their loop ends.

A connection of most asyncio drivers belongs to the loop that opened it, and the pool of an engine
keeps it for the next loop, where it fails. So the pool is emptied in its loop, before that ends.
The next loop opens connections of its own.

Source: https://docs.sqlalchemy.org/en/20/orm/extensions/asyncio.html#using-multiple-asyncio-event-loops
"""

from weakref import WeakKeyDictionary

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from coatcheck.storage.backends.per_loop import PerLoop

_all: WeakKeyDictionary[AsyncEngine, PerLoop[None]] = WeakKeyDictionary()


def loops_of(engine: AsyncEngine) -> PerLoop[None]:
    """Return what is to be asked for in each loop that uses an engine, however many storages do."""
    loops = _all.get(engine)
    if loops is None:
        # Not the engine itself: the dictionary would keep it for ever.
        sync_engine = engine.sync_engine

        async def empty(_: None) -> None:
            if isinstance(sync_engine.pool, AsyncAdaptedQueuePool):
                await AsyncEngine(sync_engine).dispose()

        loops = _all[engine] = PerLoop(_open_nothing, empty)
    return loops


async def _open_nothing() -> None:
    """Open nothing: the engine opens connections when they are needed."""

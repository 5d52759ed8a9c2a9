"""
What a backend can do beyond the contract: also one behind a lazy one, or behind copies.

`innermost` is the same text without `async` and `await`, written by `scripts/twins`.
"""

from collections.abc import Mapping, Sequence

from coatcheck.storage.backend import (
    AskAlone,
    AsyncBackend,
    AsyncEvicts,
    AsyncGetsMany,
    AsyncInFront,
    Stored,
)


async def async_get_many(backend: AsyncBackend, keys: Sequence[str]) -> Mapping[str, Stored]:
    """
    Return what is there, by key: in one question where the backend can.

    Args:
        keys: No key is there twice.
    """
    inner = await async_innermost(backend)
    if isinstance(inner, AsyncGetsMany):
        try:
            return await inner.get_many(keys)
        except AskAlone:
            pass
    found = {}
    for key in keys:
        stored = await inner.get(key)
        if stored is not None:
            found[key] = stored
    return found


async def async_eviction_policy(backend: AsyncBackend) -> str:
    """Return the policy by which the server drops records; "": it drops none, or tells nothing."""
    inner = await async_innermost(backend)
    return await inner.evicts() if isinstance(inner, AsyncEvicts) else ""


async def async_innermost(backend: AsyncBackend) -> AsyncBackend:
    """Return the backend that tells what it can do."""
    while isinstance(backend, AsyncInFront):
        backend = await backend.behind()
    return backend

"""
Written by scripts/twins from src/coatcheck/storage/async_innermost.py: change that.

What a backend can do beyond the contract: also one behind a lazy one, or behind copies.

`innermost` is the same text without `async` and `await`, written by `scripts/twins`.
"""

from collections.abc import Mapping, Sequence

from coatcheck.storage.backend import (
    AskAlone,
    Backend,
    Evicts,
    GetsMany,
    InFront,
    Stored,
)


def get_many(backend: Backend, keys: Sequence[str]) -> Mapping[str, Stored]:
    """
    Return what is there, by key: in one question where the backend can.

    Args:
        keys: No key is there twice.
    """
    inner = innermost(backend)
    if isinstance(inner, GetsMany):
        try:
            return inner.get_many(keys)
        except AskAlone:
            pass
    found = {}
    for key in keys:
        stored = inner.get(key)
        if stored is not None:
            found[key] = stored
    return found


def eviction_policy(backend: Backend) -> str:
    """Return the policy by which the server drops records; "": it drops none, or tells nothing."""
    inner = innermost(backend)
    return inner.evicts() if isinstance(inner, Evicts) else ""


def innermost(backend: Backend) -> Backend:
    """Return the backend that tells what it can do."""
    while isinstance(backend, InFront):
        backend = backend.behind()
    return backend

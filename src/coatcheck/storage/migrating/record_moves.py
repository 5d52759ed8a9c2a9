"""
The steps by which records move from an old backend to a new one while both serve.

A read looks in the new backend and then in the old one, under the same key, so no cookie changes. A
session moves with its first write, at the latest when it is refreshed. A move has four steps, so
that it can stop after each of them and race with any request:

    1. new: claim the key with a mark that says "pending", and nothing more
    2. old: replace the record by the newer one, marked as moving, if it is still what was read
    3. new: replace the pending mark by the record
    4. old: delete

Step 2 happens once and decides: the new storage gets that record, from any of the requests, and
what other requests make of it. A delete removes the old record first and then the new one, so a
move that comes too late fails at step 2 or 3, and a session that was destroyed does not return. If
a move stopped after step 2, the next write finishes it.

Each operation is a plan that yields calls for one of the two, so that it is written once for plain
and for awaited backends.
"""

from collections.abc import Generator
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from coatcheck._session.plan import Delete, Get, Keyspace, Swap
from coatcheck._session.record import Refused, Stored
from coatcheck.errors import ConfigurationError

T = TypeVar("T")

Steps = Generator[tuple[Literal["old", "new"], Get | Swap | Delete], Any, T]
"""Yields calls for one of two backends, is sent their answers, returns a result."""

PENDING = b"\x70"
"""Stands in the new storage for a record that is about to come; no record begins with it."""

MOVING = b"\x71"
"""Stands in the old storage before a record that is about to move; no record begins with it."""


class InNew(NamedTuple):
    """A version in the new storage."""

    version: object

    def __repr__(self) -> str:
        return "<InNew>"


class InOld(NamedTuple):
    """A version in the old storage."""

    version: object
    pending: object | None
    """The version of the pending mark in the new one, if there is one."""
    moving: bytes | None
    """The record, if a move has stopped halfway."""

    def __repr__(self) -> str:
        return "<InOld>"


def moving_space(space: Keyspace, old: Keyspace, new: Keyspace) -> Keyspace:
    """
    Return the keys of both storages.

    Raises:
        ConfigurationError: The old storage encrypts and the new one does not.
    """
    if old.cipher and not new.cipher:
        raise ConfigurationError(
            "Migrating cannot move sessions out of encryption: give the new storage encrypt=True"
        )
    return msgspec.structs.replace(space, cipher=new.cipher, accepts_clear=old.cipher is None)


def get(key: str) -> Steps[Stored | None]:
    found: Stored | None = yield "new", Get(key)
    if found and found.record != PENDING:
        return Stored(found.record, version=InNew(found.version))
    left: Stored | None = yield "old", Get(key)
    if left:
        moves = left.record.startswith(MOVING)
        record = left.record.removeprefix(MOVING)
        pending = found.version if found else None
        return Stored(record, InOld(left.version, pending, record if moves else None))
    # It may have moved between the two looks.
    found = yield "new", Get(key)
    if found is None or found.record == PENDING:
        return None
    return Stored(found.record, version=InNew(found.version))


def swap(key: str, version: object, record: bytes, ttl: float) -> Steps[Refused | None]:
    if isinstance(version, InOld):
        done = yield from _move(key, version, record, ttl)
    elif version is None and (yield "old", Get(key)):
        done = False
    else:
        held = version.version if isinstance(version, InNew) else None
        done = (yield "new", Swap(key, held, record, ttl)) is None
    return None if done else Refused((yield from get(key)))


def delete(key: str) -> Steps[None]:
    yield "old", Delete(key)
    yield "new", Delete(key)


def _move(key: str, version: InOld, record: bytes, ttl: float) -> Steps[bool]:
    """Move the record, and tell whether the record in the new storage has this change in it."""
    pending = version.pending or (yield from _claim(key, ttl))
    if version.moving is not None:
        # Another move stopped halfway. Finish that; then this change is to be made again.
        stored: Stored | None = yield "old", Get(key)
        if pending and stored and stored.version == version.version:
            yield "new", Swap(key, pending, version.moving, ttl)
            yield "old", Delete(key)
        return False
    if pending is None or (yield "old", Swap(key, version.version, MOVING + record, ttl)):
        return False
    if (yield "new", Swap(key, pending, record, ttl)):
        # Another request finished this move and went on from there, or ended the session.
        stored = yield "new", Get(key)
        return stored is not None and stored.record != PENDING
    yield "old", Delete(key)
    return True


def _claim(key: str, ttl: float) -> Steps[object | None]:
    """Say in the new storage that a record is about to come; return the mark's version."""
    if (yield "new", Swap(key, None, PENDING, ttl)):
        return None
    stored: Stored | None = yield "new", Get(key)
    return stored.version if stored and stored.record == PENDING else None

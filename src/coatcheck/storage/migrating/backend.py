"""
Two backends as one: records move from the old one to the new one while both serve.

A session is looked for in the new storage and then in the old one, under the same id, so no cookie
changes. It moves with the first write to it, at the latest when it is refreshed. A move has steps,
so that it can be interrupted anywhere, and raced by anything:

    1. new: claim the key with a mark that says "pending", and nothing more
    2. old: replace the record by the newer one, marked as moving, if it is still what was read
    3. new: replace the pending mark by the record
    4. old: delete

Step 2 happens once, and decides: what comes to lie in the new storage is that record, whoever puts
it there, and what others made of it. A delete takes the old record first, and then the new one, so
a move that comes too late fails at step 2 or 3, and a session that was destroyed stays gone. A move
that stopped after step 2 is finished by the next write.

`MigratingBackend` and `AsyncMigratingBackend` are the same text but for `async` and `await`; a test
holds them to it.
"""

from typing import NamedTuple

from coatcheck.storage.backend import AsyncBackend, Backend, Refused, Stored

PENDING = b"\x70"
"""Stands in the new storage for a record that is about to come; no record begins with it."""

MOVING = b"\x71"
"""Stands in the old storage before a record that is about to move; no record begins with it."""


class InNew(NamedTuple):
    """A version in the new storage."""

    version: object


class InOld(NamedTuple):
    """A version in the old storage."""

    version: object
    pending: object | None
    """The version of the pending mark in the new one, if there is one."""
    moving: bytes | None
    """The record, if a move has stopped halfway."""


class MigratingBackend:
    """Two backends, read as one; *prefixes* go before the keys of the old and the new one."""

    def __init__(self, old: Backend, new: Backend, prefixes: tuple[str, str] = ("", "")) -> None:
        self._old, self._new = old, new
        self._old_prefix, self._new_prefix = prefixes

    def get(self, key: str) -> Stored | None:
        found = self._new.get(self._new_prefix + key)
        if found and found.record != PENDING:
            return Stored(found.record, version=InNew(found.version))
        left = self._old.get(self._old_prefix + key)
        if left:
            moves = left.record.startswith(MOVING)
            record = left.record.removeprefix(MOVING)
            pending = found.version if found else None
            return Stored(record, InOld(left.version, pending, record if moves else None))
        # It may have moved between the two looks.
        found = self._new.get(self._new_prefix + key)
        if found is None or found.record == PENDING:
            return None
        return Stored(found.record, version=InNew(found.version))

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        if isinstance(version, InOld):
            done = self._move(key, version, record, ttl)
        elif version is None and self._old.get(self._old_prefix + key):
            done = False
        else:
            held = version.version if isinstance(version, InNew) else None
            done = self._new.swap(self._new_prefix + key, held, record, ttl) is None
        return None if done else Refused(self.get(key))

    def delete(self, key: str) -> None:
        self._old.delete(self._old_prefix + key)
        self._new.delete(self._new_prefix + key)

    def _move(self, key: str, version: InOld, record: bytes, ttl: float) -> bool:
        """Move the record, and tell whether what lies in the new storage has this change in it."""
        old, new = self._old_prefix + key, self._new_prefix + key
        pending = version.pending or self._claim(new, ttl)
        if version.moving is not None:
            # Another move stopped halfway. Finish that; then this change is to be made again.
            stored = self._old.get(old)
            if pending and stored and stored.version == version.version:
                self._new.swap(new, pending, version.moving, ttl)
                self._old.delete(old)
            return False
        if pending is None or self._old.swap(old, version.version, MOVING + record, ttl):
            return False
        if self._new.swap(new, pending, record, ttl):
            # Another request finished this move and went on from there, or ended the session.
            stored = self._new.get(new)
            return stored is not None and stored.record != PENDING
        self._old.delete(old)
        return True

    def _claim(self, new: str, ttl: float) -> object | None:
        """Say in the new storage that a record is about to come; return the mark's version."""
        if self._new.swap(new, None, PENDING, ttl):
            return None
        stored = self._new.get(new)
        return stored.version if stored and stored.record == PENDING else None


class AsyncMigratingBackend:
    """A `MigratingBackend` whose methods are awaited."""

    def __init__(
        self, old: AsyncBackend, new: AsyncBackend, prefixes: tuple[str, str] = ("", "")
    ) -> None:
        self._old, self._new = old, new
        self._old_prefix, self._new_prefix = prefixes

    async def get(self, key: str) -> Stored | None:
        found = await self._new.get(self._new_prefix + key)
        if found and found.record != PENDING:
            return Stored(found.record, version=InNew(found.version))
        left = await self._old.get(self._old_prefix + key)
        if left:
            moves = left.record.startswith(MOVING)
            record = left.record.removeprefix(MOVING)
            pending = found.version if found else None
            return Stored(record, InOld(left.version, pending, record if moves else None))
        # It may have moved between the two looks.
        found = await self._new.get(self._new_prefix + key)
        if found is None or found.record == PENDING:
            return None
        return Stored(found.record, version=InNew(found.version))

    async def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        if isinstance(version, InOld):
            done = await self._move(key, version, record, ttl)
        elif version is None and await self._old.get(self._old_prefix + key):
            done = False
        else:
            held = version.version if isinstance(version, InNew) else None
            done = await self._new.swap(self._new_prefix + key, held, record, ttl) is None
        return None if done else Refused(await self.get(key))

    async def delete(self, key: str) -> None:
        await self._old.delete(self._old_prefix + key)
        await self._new.delete(self._new_prefix + key)

    async def _move(self, key: str, version: InOld, record: bytes, ttl: float) -> bool:
        """Move the record, and tell whether what lies in the new storage has this change in it."""
        old, new = self._old_prefix + key, self._new_prefix + key
        pending = version.pending or await self._claim(new, ttl)
        if version.moving is not None:
            # Another move stopped halfway. Finish that; then this change is to be made again.
            stored = await self._old.get(old)
            if pending and stored and stored.version == version.version:
                await self._new.swap(new, pending, version.moving, ttl)
                await self._old.delete(old)
            return False
        if pending is None or await self._old.swap(old, version.version, MOVING + record, ttl):
            return False
        if await self._new.swap(new, pending, record, ttl):
            # Another request finished this move and went on from there, or ended the session.
            stored = await self._new.get(new)
            return stored is not None and stored.record != PENDING
        await self._old.delete(old)
        return True

    async def _claim(self, new: str, ttl: float) -> object | None:
        """Say in the new storage that a record is about to come; return the mark's version."""
        if await self._new.swap(new, None, PENDING, ttl):
            return None
        stored = await self._new.get(new)
        return stored.version if stored and stored.record == PENDING else None

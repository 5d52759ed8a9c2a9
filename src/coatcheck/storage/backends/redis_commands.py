"""Commands of the backends in Redis: a mark before each record, and a script that replaces one."""

from collections.abc import Sequence
from hashlib import sha1
from typing import Any

from coatcheck.storage.backend import Stored
from coatcheck.storage.backends.marks import marked, unmarked

__all__ = ["REPLACE", "REPLACE_SHA", "is_unclear", "marked", "stored", "there_after"]

REPLACE = """
local there = redis.call('GET', KEYS[1])
if there == ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return there
"""
"""Returns what was there, as SET with IFEQ and GET does."""

REPLACE_SHA = sha1(REPLACE.encode(), usedforsecurity=False).hexdigest()


def stored(data: bytes | None) -> Stored | None:
    """Return what lies under a key, as the storage sees it."""
    return None if data is None else Stored(unmarked(data), version=data)


def is_unclear(command: Sequence[Any], answer: object) -> bool:
    """
    Tell whether nothing tells if a write was done that was sent twice, and answered once.

    It found another record than the one that it replaces, and than its own: it may have been done
    before that one came. Its changes, made again, would count twice.
    """
    if command[0] == "SET" and command[3] == "IFEQ":
        return answer not in (command[4], command[2], None)
    return command[0] in ("EVALSHA", "EVAL") and answer not in (command[4], command[5], None)


def there_after(command: Sequence[Any], answer: object) -> tuple[str, Stored | None] | None:
    """
    Return the key of a command and what lies under it when its answer has come.

    The second is None for nothing, and for what the answer does not tell. For a command that is
    about no single key, return None.
    """
    name = command[0]
    if name == "GET":
        return command[1], stored(answer) if isinstance(answer, bytes) else None
    if name == "SET":  # SET key data IFEQ version GET …, or SET key data PX ttl NX
        done = command[4] if command[3] == "IFEQ" else b"OK"
        return command[1], stored(command[2]) if answer == done else None
    if name in ("EVALSHA", "EVAL"):  # EVALSHA script 1 key version data ttl
        return command[3], stored(command[5]) if answer == command[4] else None
    return (command[1], None) if name == "DEL" else None

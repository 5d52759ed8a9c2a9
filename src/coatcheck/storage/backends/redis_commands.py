"""Commands of the backends in Redis: a mark before each record, and a script that replaces one."""

from hashlib import sha1

from coatcheck.storage.backend import Stored
from coatcheck.storage.backends.marks import marked, unmarked

__all__ = ["REPLACE", "REPLACE_SHA", "marked", "stored"]

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

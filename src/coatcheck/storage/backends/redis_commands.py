"""What the backends in Redis send: a mark before each record, and a script that replaces one."""

from hashlib import sha1
from secrets import token_bytes

from coatcheck.storage.backend import Stored

REPLACE = """
local there = redis.call('GET', KEYS[1])
if there == ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return there
"""
"""Returns what was there, as SET with IFEQ and GET does."""

REPLACE_SHA = sha1(REPLACE.encode(), usedforsecurity=False).hexdigest()

MARK = 8
"""Random bytes that tell one write from any other."""


def marked(record: bytes) -> bytes:
    """Return a record as one write sends it: after random bytes of its own."""
    return token_bytes(MARK) + record


def stored(data: bytes | None) -> Stored | None:
    """Return what lies under a key, as the storage sees it."""
    return None if data is None else Stored(data[MARK:], version=data)

"""
Storages: they keep the sessions of an application.

A storage turns the value of a cookie into a session, and a session into the value of a cookie:
two methods, plain or `async def`, and a storage of your own needs nothing else.

Most storages keep records on a server. They are all one storage, `KeyedStorage`, over a backend of
three methods, and share its promises: no lost update, logout holds, no fixation. `CookieStorage`
keeps the session in the cookie, and cannot promise those.

A storage's client library is imported when the storage is made, never before.
"""

from coatcheck.storage.backend import AsyncBackend, Backend, Refused, Stored
from coatcheck.storage.backends.batching import BatchingBackend
from coatcheck.storage.backends.files import FileStorage
from coatcheck.storage.backends.memcached import MemcachedStorage
from coatcheck.storage.backends.memory import MemoryStorage
from coatcheck.storage.backends.near import Near
from coatcheck.storage.backends.redis import RedisStorage
from coatcheck.storage.backends.sql import SqlStorage, sessions_table
from coatcheck.storage.backends.sqlite import SqliteStorage
from coatcheck.storage.cookie import CookieStorage
from coatcheck.storage.keyed import AsyncKeyedStorage, KeyedStorage
from coatcheck.storage.migrating import Migrating
from coatcheck.storage.protocol import Powers, SessionStorage
from coatcheck.storage.urls import storage_from_url

__all__ = [
    "AsyncBackend",
    "AsyncKeyedStorage",
    "Backend",
    "BatchingBackend",
    "CookieStorage",
    "FileStorage",
    "KeyedStorage",
    "MemcachedStorage",
    "MemoryStorage",
    "Migrating",
    "Near",
    "Powers",
    "RedisStorage",
    "Refused",
    "SessionStorage",
    "SqlStorage",
    "SqliteStorage",
    "Stored",
    "sessions_table",
    "storage_from_url",
]

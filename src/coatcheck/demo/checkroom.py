"""
Where the demo's sessions live: a storage, and how to speak of it.

    memory                          this process
    file:DIR                        files in a folder
    redis://host:port/0             a Redis or Valkey server; unix:///path for its socket
    memcached://host:port,host      one or more Memcached nodes
    cookie                          the browser
"""

import logging
from dataclasses import dataclass
from inspect import isawaitable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from coatcheck.ids import new_id
from coatcheck.storage import (
    CookieStorage,
    FileStorage,
    MemcachedStorage,
    MemoryStorage,
    RedisStorage,
    SessionStorage,
)

if TYPE_CHECKING:
    import redis.asyncio

PATIENCE = 3.0
"""Seconds to wait for a server."""

FORMS = "memory, file:DIR, redis://HOST:PORT, memcached://HOST:PORT,HOST:PORT, cookie"


@dataclass(frozen=True, slots=True)
class Checkroom:
    """
    A storage, and how to speak of it.

    Args:
        kind: Fits behind "sessions are kept in".
        place: Where exactly; without a password.
    """

    storage: SessionStorage
    kind: str
    place: str

    @property
    def on_server(self) -> bool:
        """Whether the sessions are kept on this side, and the cookie carries only a ticket."""
        return not isinstance(self.storage, CookieStorage)

    async def reach(self) -> None:
        """
        Ask the storage for a session that nobody has, to see whether it answers.

        Raises:
            BackendError: It does not.
        """
        answer = (getattr(self.storage, "aio", None) or self.storage).read(new_id())
        if isawaitable(answer):
            await answer


def checkroom_from(text: str) -> Checkroom:
    """
    Return the checkroom that *text* asks for, in one of the forms above.

    Raises:
        ValueError: It is in none of them.
    """
    scheme, _, rest = text.partition(":")
    if text == "memory":
        return Checkroom(MemoryStorage(), "memory", "of this process, until it ends")
    if text == "cookie":
        return Checkroom(CookieStorage(), "the cookie itself", "in the browser, signed")
    if scheme == "file" and rest:
        folder = Path(rest.removeprefix("//"))
        return Checkroom(FileStorage(folder), "files", str(folder))
    if scheme in ("redis", "rediss", "unix") and rest.startswith("//"):
        return Checkroom(RedisStorage(_redis(text)), "Redis", _place(text))
    if scheme == "memcached" and rest.removeprefix("//").strip(","):
        logging.getLogger("emcache").setLevel(logging.CRITICAL)  # we say ourselves what failed
        nodes = [node for node in rest.removeprefix("//").split(",") if node]
        return Checkroom(MemcachedStorage(*nodes), "Memcached", ", ".join(nodes))
    raise ValueError(f"{text!r} names no storage: {FORMS}")


def _redis(url: str) -> "redis.asyncio.Redis":
    from redis.asyncio import Redis  # whoever asks for another storage need not have it

    return Redis.from_url(url, socket_connect_timeout=PATIENCE, socket_timeout=PATIENCE)


def _place(url: str) -> str:
    """Return where a server is, without the user and the password that the URL may hold."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] + parts.path

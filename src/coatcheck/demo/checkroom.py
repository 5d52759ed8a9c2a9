"""The storage of the demo's sessions, and the words to describe it."""

from dataclasses import dataclass
from inspect import isawaitable
from urllib.parse import urlsplit

from coatcheck import Cookie, Users
from coatcheck._session.ids import new_id
from coatcheck.storage import (
    AsyncKeyedStorage,
    CookieStorage,
    KeyedStorage,
    MemoryStorage,
    SessionStorage,
    storage_from_url,
)
from coatcheck.storage.protocol import AsyncCloses, HasAwaitedForm, powers_of

_NAMES = {
    "file": "files",
    "sqlite": "SQLite",
    "redis": "Redis",
    "rediss": "Redis",
    "unix": "Redis",
    "memcached": "Memcached",
    "postgresql": "PostgreSQL",
    "mysql": "MySQL",
    "mariadb": "MariaDB",
}


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

    def users(self, cookie: Cookie) -> Users | None:
        """Return what lists a visitor's sessions, and ends them; None: the storage keeps none."""
        if not isinstance(self.storage, KeyedStorage | AsyncKeyedStorage | CookieStorage):
            return None
        # Cookies, and a server that may drop records, keep no lists: they are in this process then.
        elsewhere = not self.on_server or powers_of(self.storage).may_evict
        return Users(cookie, self.storage, rosters=MemoryStorage() if elsewhere else None)

    async def reach(self) -> None:
        """
        Ask the storage for a session that does not exist, to see whether it answers.

        Raises:
            BackendError: It does not.
        """
        aio = self.storage.aio if isinstance(self.storage, HasAwaitedForm) else None
        answer = (aio or self.storage).read(new_id())
        if isawaitable(answer):
            await answer

    async def close(self) -> None:
        """Close what the storage opened."""
        aio = self.storage.aio if isinstance(self.storage, HasAwaitedForm) else None
        if isinstance(aio, AsyncCloses):
            await aio.close()


def checkroom_from(url: str) -> Checkroom:
    """
    Return the checkroom at *url*, as `storage_from_url` reads it; "memory" and "cookie" will do.

    Raises:
        ConfigurationError: The URL makes no sense, or needs a package that is not installed.
        BackendError: A file or a folder cannot be used.
    """
    storage = storage_from_url(url if ":" in url else f"{url}:")
    scheme = url.partition(":")[0]
    if scheme == "memory":
        return Checkroom(storage, "memory", "of this process, until it ends")
    if scheme == "cookie":
        return Checkroom(storage, "the cookie itself", "in the browser, signed")
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2] + parts.path
    return Checkroom(storage, _NAMES.get(scheme) or f"Redis, {scheme.rpartition('+')[2]}", place)

"""Requests without a host: what the decisions and the shells ask of one, in a dict."""

from typing import Any

from coatcheck import Cookie, Session
from coatcheck._request.cycle import Cycle
from coatcheck._request.visit import Changes, Visit
from coatcheck.storage import KeyedStorage, MemoryStorage, SessionStorage
from tests.hosts import SECRET

COOKIE = Cookie("name", secrets=[SECRET])

OLDER, NEWER = "o" * 40, "n" * 40
BEFORE = Cookie("name", secrets=[OLDER])
AFTER = Cookie("name", secrets=[NEWER, OLDER])
"""The same cookie before and after its secret was changed."""

PLACE = "session"


class DictVisit(Visit):
    """
    A request whose handler finds its session in a dict.

    Args:
        cookies: The Cookie header.
        facts: "method", "path", "scheme", "host", and headers by name.
    """

    def __init__(self, cookies: str | None = None, **facts: str) -> None:
        self.cookies = cookies
        self.facts = facts
        self.scope: dict[str, Any] = {}

    @property
    def method(self) -> str:
        return self.facts.get("method", "GET")

    @property
    def path(self) -> str:
        return self.facts.get("path", "/")

    @property
    def scheme(self) -> str:
        return self.facts.get("scheme", "https")

    @property
    def host(self) -> str:
        return self.facts.get("host", "example.org")

    def header(self, name: str) -> str:
        return self.facts.get(name, "")

    def attach(self) -> None:
        self.scope[PLACE] = self.session

    def replaced(self) -> bool:
        return self.scope.get(PLACE) is not self.session


def cycle_of(
    storage: SessionStorage | None = None, cookie: Cookie = COOKIE, **options: Any
) -> Cycle:
    """Return the decisions of one middleware."""
    return Cycle(cookie, storage or MemoryStorage(), **options)


def pair_of(cookie: Cookie, value: str) -> str:
    """Return a Cookie header that carries a value."""
    return cookie.serialize(value).partition(";")[0]


def stored(storage: KeyedStorage, cookie: Cookie = COOKIE, **values: Any) -> str:
    """Return the Cookie header of a session that holds *values*."""
    session = storage.read(None)
    session.update(values)
    return pair_of(cookie, storage.save(session) or "")


def kept(storage: KeyedStorage, header: str, cookie: Cookie = COOKIE) -> Session:
    """Return the session that a Cookie header leads to."""
    return storage.read(cookie.parse(header))


def header_after(header: str | None, changes: Changes) -> str | None:
    """Return the Cookie header of a browser that got these changes."""
    for line in changes.set_cookies:
        header = None if "Max-Age=0;" in line else line.partition(";")[0]
    return header

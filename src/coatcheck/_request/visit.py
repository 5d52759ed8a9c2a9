"""
One request on its way: its facts, its session, and what the response is to say.

A host (ASGI, WSGI, Flask …) subclasses `Visit` with the facts of its requests. Each fact is taken
from the scope or environ only when a decision asks for it.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from coatcheck._cookie.sealing import Opened
from coatcheck._session.session import Session


class Theirs(NamedTuple):
    """
    Cookies of another package in a request.

    Attributes:
        reader: Of that package.
        cookies: All of the request, by name.
        names: Of those that are the package's.
        beside: They arrive beside a living session of ours.
        first: This request is to make their session one of ours.
    """

    reader: Any
    cookies: Mapping[str, str]
    names: tuple[str, ...]
    beside: bool = False
    first: bool = False

    def __repr__(self) -> str:
        return "<Theirs>"


class Visit:
    """
    A request, as the decisions about its session see it.

    Attributes:
        cookies: The Cookie header, several fields joined by "; "; None: there is none.
        session: Its session, from `read` on.
        opened: What its cookie held, or None.
        others: The values of further cookies of the same name.
        theirs: Cookies of another package whose session this is, or that arrive beside ours.
        kept_keys: Keys of another package that its framework reads itself.
    """

    if not TYPE_CHECKING:
        __slots__ = ()  # a subclass may have slots for these, as a struct has

    kept_keys: ClassVar[frozenset[str]] = frozenset()

    cookies: str | None = None
    session: Session
    opened: Opened | None = None
    others: tuple[str, ...] = ()
    theirs: Theirs | None = None

    @property
    def method(self) -> str:
        """Such as "GET"; "" at a WebSocket."""
        raise NotImplementedError

    @property
    def path(self) -> str:
        """The whole path, decoded, as the client asked for it."""
        raise NotImplementedError

    @property
    def scheme(self) -> str:
        """The scheme that the server reports: "http", "https", "ws" or "wss"; "": none."""
        raise NotImplementedError

    @property
    def host(self) -> str:
        """The Host header, from the client; "": there is none."""
        raise NotImplementedError

    def header(self, name: str) -> str:
        """Return the header of that name, in lower case; "": there is none."""
        raise NotImplementedError

    def attach(self) -> None:
        """Put the session where handlers look."""
        raise NotImplementedError

    def replaced(self) -> bool:
        """Tell whether a handler put something else there, which would be lost."""
        raise NotImplementedError


class Changes(NamedTuple):
    """
    The changes of a response's headers.

    Attributes:
        vary: The response depends on the Cookie header.
        private: No shared cache may keep it.
        set_cookies: Set-Cookie header values.
        headers: Further headers.
        instead: A response to send in place of the application's, or None.
    """

    vary: bool = False
    private: bool = False
    set_cookies: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    instead: "Answer | None" = None

    def __repr__(self) -> str:
        return "<Changes>"


NOTHING = Changes()
VARY = Changes(vary=True)


class Answer(NamedTuple):
    """A response to send at once, in place of the application's."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def sets_cookie(name: str, headers: Iterable[tuple[str | bytes, str | bytes]]) -> bool:
    """Tell whether a response has a Set-Cookie header for a cookie of that name already."""
    start = f"{name}="
    return any(
        _text(value).startswith(start)
        for field, value in headers
        if len(field) == len("set-cookie") and _text(field).lower() == "set-cookie"
    )


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")

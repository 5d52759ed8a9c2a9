"""
The common part of the readers of all packages.

A reader is one pure search: a generator that looks at cookies, may ask for records of the package's
server, and returns what it found. `read` carries it out, plain or awaited, as the client is. It
writes nothing; a record is deleted only by `forget`, where `take=True` says so.

What a client sends never raises: a search that cannot go on raises `Refused`, and `look` returns
the reason.
"""

import hashlib
from collections.abc import (
    Awaitable,
    Collection,
    Generator,
    Iterable,
    Mapping,
    Sequence,
)
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar, NamedTuple, TypeVar

from coatcheck._cookie.cookie import Cookie
from coatcheck._session.adopted import Adopted, Refusal
from coatcheck._session.values import CORRUPT
from coatcheck.adopt.refused import Refused
from coatcheck.adopt.session_values import session_values
from coatcheck.adopt.stores import Answers, Row, Store, awaited, plain
from coatcheck.errors import ConfigurationError

AHEAD = 60.0
"""Seconds that the clock of another machine may be ahead of ours."""

Secret = str | bytes

T = TypeVar("T")


class Found(NamedTuple):
    """
    The result of a search.

    Attributes:
        values: What the package keeps, its own keys among them.
        verified: The signed bytes, or the id.
        created: When the package made or signed it, as a Unix time; None: it keeps no such time.
        expires: When its cookie or record ends; None: nothing tells.
    """

    values: Mapping[Any, Any]
    verified: bytes
    created: float | None = None
    expires: float | None = None

    def __repr__(self) -> str:
        return "<Found>"


Search = Generator[str, Row | None, Found | None]
"""Yields keys of records, is sent what is there, returns what it found; None: no cookie."""

Look = Adopted | Refusal | None
"""A session, the reason of a refusal, or None: there is no cookie of the package."""


class Reader:
    """
    Reads the sessions of one package.

    Args:
        name: Of the package's cookie.
        path: Of that cookie, as the package set it, so that it can be removed.
        domain: The same.
        until: When this reader stops: a date counts from its midnight in UTC, a datetime needs a
            time zone. None: never.
        max_age: Seconds, or a timedelta, for which the package takes its cookie; None: no limit.
        store: Where the package keeps its records; None: in the cookie.
        take: Delete the package's record once its session is adopted.
        keep_cookie: Leave the package's cookie in the browser until the session is signed out.

    Raises:
        ConfigurationError: An argument is of another kind.
    """

    label: ClassVar[bytes]
    """Goes into the digest: readers that verify the same cookie have the same."""

    own_keys: ClassVar[frozenset[str]] = frozenset()
    """Keys that the package uses itself, and that mean nothing to another."""

    keeps_end: ClassVar[bool] = False
    """The package's cookie says itself when it ends."""

    messages_key: ClassVar[str] = ""
    """The key under which the package keeps messages for the next page; "": it has none."""

    def __init__(
        self,
        *,
        name: str,
        path: str | None = "/",
        domain: str | None = None,
        until: date | None = None,
        max_age: float | timedelta | None = None,
        store: Store | None = None,
        take: bool = False,
        keep_cookie: bool = False,
    ) -> None:
        self.name = name
        self.package = type(self).__name__
        self.keep_cookie = keep_cookie
        self.until = _time_of(until)
        self.max_age = _seconds_of(max_age)
        self.store = store
        self.take = take
        secure = name.lower().startswith(("__secure-", "__host-"))
        self._attributes = (path, domain, secure)
        self._cookie_of(name)  # what is wrong in the attributes is told now

    # ---- what a session middleware asks

    @property
    def is_awaited(self) -> bool:
        """Whether `read` is to be awaited, because its client is."""
        return self.store is not None and self.store.is_awaited

    @property
    def waits(self) -> bool:
        """Whether `read` waits for a server in place."""
        return self.store is not None and not self.store.is_awaited

    @property
    def is_on_server(self) -> bool:
        """Whether the package keeps its records elsewhere than in the cookie."""
        return self.store is not None

    @property
    def is_endless(self) -> bool:
        """Whether nothing ends the package's cookies."""
        return not (self.is_on_server or self.keeps_end or self.max_age is not None)

    def is_over(self, now: float) -> bool:
        """Tell whether the time of this reader is over."""
        return self.until is not None and now >= self.until

    def names(self, cookies: Iterable[str]) -> list[str]:
        """Return the names among those of a request that are the package's."""
        return [name for name in cookies if name == self.name]

    def removals(self, names: Iterable[str], *, but: Cookie) -> list[str]:
        """
        Return the Set-Cookie header values that remove cookies of the package.

        Args:
            but: The cookie of ours, which a removal must not take away.
        """
        path, domain, _ = self._attributes
        ours = (but.name, but.path, but.domain)
        return [
            self._cookie_of(name).serialize("") for name in names if (name, path, domain) != ours
        ]

    def look(
        self, cookies: Mapping[str, str], now: float, keeping: Collection[str] = ()
    ) -> Look | Awaitable[Look]:
        """
        Return what the cookies lead to, or why they lead to nothing; to be awaited if `read` is.

        Args:
            keeping: Keys of the package that stay values, because the framework is the same.
        """
        answer = self._answer(cookies, now, keeping)
        if self.store is not None and self.store.is_awaited:
            return _carried_out_awaited(answer, self.store)
        return _carried_out(answer, self.store)

    def forget(self, cookies: Mapping[str, str]) -> Any:
        """Delete the records that the cookies lead to; to be awaited if `read` is."""
        store, keys = self.store, self._keys_of(cookies)
        if store is None or not keys:
            return None
        run = awaited if store.is_awaited else plain
        return run(_deletes(store, keys), store.server)

    def _keys_of(self, cookies: Mapping[str, str]) -> list[str]:
        """Return the keys of all records that a search would look at."""
        search, found = self.search(cookies, 0.0), list[str]()
        try:
            while True:
                found.append(search.send(None))
        except (StopIteration, Refused, *CORRUPT):
            return found

    # ---- what a user of the reader asks

    def read(
        self, cookies: Mapping[str, str], now: float
    ) -> Adopted | None | Awaitable[Adopted | None]:
        """
        Return the session that the cookies lead to, or None; to be awaited where the client is.

        Nothing is deleted, and nothing remembers the cookie.

        Args:
            cookies: Names and raw values, as a browser sends them.
            now: A Unix time.

        Raises:
            BackendError: The package's server failed.
        """
        found = self.look(cookies, now)
        if isinstance(found, Adopted | Refusal | None):
            return _adopted_alone(found)
        return _awaited_alone(found)

    # ---- what each package has of its own

    def search(self, cookies: Mapping[str, str], now: float) -> Search:
        """
        Look for a session.

        Raises:
            Refused: There is a cookie, and it leads to none.
        """
        raise NotImplementedError

    def flashes_of(self, values: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Take the messages for the next page out of the values, and return them by category."""
        return {}

    # ---- what follows from that

    def digest(self, verified: bytes) -> bytes:
        """Return the digest of what was verified."""
        return hashlib.sha256(self.label + b"\0" + verified).digest()

    def aged(self, since: float, max_age: float | None = None) -> float | None:
        """Return when a cookie ends that the package wrote at a time; None: it does not end."""
        seconds = self.max_age if max_age is None else max_age
        return None if seconds is None else since + seconds

    def _answer(
        self, cookies: Mapping[str, str], now: float, keeping: Collection[str]
    ) -> Generator[str, Row | None, Look]:
        """Search, and judge what was found."""
        if self.is_over(now):
            return None
        try:
            found = yield from self.search(cookies, now)
            return None if found is None else self._judged(found, now, keeping)
        except Refused as refused:
            return Refusal(refused.reason, refused.digest)
        except (*CORRUPT, OverflowError):
            return Refusal("damaged")

    def _judged(self, found: Found, now: float, keeping: Collection[str]) -> Adopted:
        """
        Return what was found as a session of ours.

        Raises:
            Refused: Its time is over or in the future, or a session cannot hold it.
        """
        if found.created is not None and found.created > now + AHEAD:
            raise Refused("future")
        if found.expires is not None and found.expires <= now:
            raise Refused("expired")
        dropped = self.own_keys.difference(keeping)
        values = session_values(
            {key: value for key, value in found.values.items() if key not in dropped}
        )
        flashes = {} if self.messages_key in keeping else self.flashes_of(values)
        created = found.created if found.created is None else min(found.created, now)
        return Adopted(values, flashes, created, found.expires, self.digest(found.verified))

    def _cookie_of(self, name: str) -> Cookie:
        path, domain, secure = self._attributes
        return Cookie(name, path=path, domain=domain, secure=secure, samesite=None)

    def __repr__(self) -> str:
        return f"<adopt.{type(self).__name__} {self.name!r}>"


def checked_secrets(secrets: Sequence[Secret], *, needed: bool = True) -> list[bytes]:
    """
    Return the package's secrets as bytes, the current one first.

    Raises:
        ConfigurationError: They are one text instead of several, or one is empty.
    """
    if isinstance(secrets, str | bytes) or not isinstance(secrets, Iterable):
        raise ConfigurationError(
            f"secrets must be a list of texts or bytes, got one {type(secrets).__name__}"
        )
    found = [each.encode() if isinstance(each, str) else each for each in secrets]
    if not all(isinstance(each, bytes) and each for each in found):
        raise ConfigurationError(
            "secrets must be a list of texts or bytes, got an empty or other one among them"
        )
    if needed and not found:
        raise ConfigurationError("secrets must be those of the other package, got none")
    return found


def _time_of(until: object) -> float | None:
    if until is None:
        return None
    if isinstance(until, datetime) and until.utcoffset() is not None:
        return until.timestamp()
    if isinstance(until, date) and not isinstance(until, datetime):
        return datetime.combine(until, time(), UTC).timestamp()
    raise ConfigurationError(f"until must be a date, or a datetime with a time zone, got {until!r}")


def _seconds_of(max_age: object) -> float | None:
    seconds = max_age.total_seconds() if isinstance(max_age, timedelta) else max_age
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise ConfigurationError(f"max_age must be seconds above 0, or None, got {max_age!r}")
    return seconds


def _deletes(store: Store, keys: Iterable[str]) -> Answers[None]:
    for key in keys:
        yield from store.delete(key)


def _carried_out(answer: Generator[str, Row | None, T], store: Store | None) -> T:
    """Carry a search out in place."""
    row: Row | None = None
    try:
        key = next(answer)
        while True:
            row = plain(store.fetch(key), store.server) if store else None
            key = answer.send(row)
    except StopIteration as done:
        result: T = done.value
        return result


async def _carried_out_awaited(answer: Generator[str, Row | None, T], store: Store) -> T:
    """Carry a search out whose records are awaited."""
    try:
        key = next(answer)
        while True:
            key = answer.send(await awaited(store.fetch(key), store.server))
    except StopIteration as done:
        result: T = done.value
        return result


def _adopted_alone(found: Look) -> Adopted | None:
    return found if isinstance(found, Adopted) else None


async def _awaited_alone(found: Awaitable[Look]) -> Adopted | None:
    return _adopted_alone(await found)

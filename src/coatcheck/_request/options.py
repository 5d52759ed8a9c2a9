"""The options of an application's sessions, checked in one place for every host."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypedDict

from coatcheck._cookie.cookie import Cookie
from coatcheck._cookie.weak import warn_of_weak
from coatcheck._model.schema import Schema
from coatcheck._request.adoption import Reader
from coatcheck._request.bound import Bound
from coatcheck._request.events import OnEvent
from coatcheck._request.outages import OnOutage
from coatcheck._session.record import Who
from coatcheck._session.roster_plans import Rosters
from coatcheck.errors import ConfigurationError
from coatcheck.storage.arguments import Duration, seconds_of
from coatcheck.storage.protocol import SessionStorage

SHORTEST_ROTATION = 300
"""Seconds: three rotations outlast the longest request."""


class ListsSessions(Protocol):
    """A `Users`: the sessions of each user are listed."""

    def _rosters_of(
        self, cookie: Cookie, storage: SessionStorage, lifetime: float | None, /
    ) -> Rosters:
        """
        Return where the sessions of a middleware are listed.

        Raises:
            ConfigurationError: It was made for another cookie or storage.
        """

    def _is_cut_off(self, who: Who, /) -> bool:
        """Tell whether a sign-in began before its user's sessions were ended."""

    @property
    def aio(self) -> "AsyncListsSessions":
        """The awaited form."""

    def _storage_of(self, storage: SessionStorage, /) -> SessionStorage:
        """Return what reads and saves the sessions of *storage*: that itself, as a rule."""


class AsyncListsSessions(Protocol):
    """The awaited form of a `Users`."""

    async def _is_cut_off(self, who: Who, /) -> bool:
        """Do what `ListsSessions._is_cut_off` does."""


class Options(TypedDict, total=False):
    """
    The keywords of `coatcheck.session`, which explains them, and of every other way in.

    Args:
        idle: How long an unused session lives, in seconds or as a timedelta; None: the cookie's
            `max_age`, else 14 days.
        lifetime: How long any session lives, used or not; None: no limit.
        refresh: The share of *idle* after which record and cookie of a session in use are renewed.
        rotate: Time after which the id of a session in use is renewed; None: never.
        on_outage: What becomes of requests while the storage's server fails: see `outages`.
        skip: Beginnings of paths under which no session is read, such as ("/static/",).
        data: What `session.data` is: a dataclass, `msgspec.Struct`, TypedDict or pydantic model, or
            a `Schema` of one.
        user_key: The key under which the application keeps the signed-in user by itself; None: it
            calls `session.sign_in`.
        adopts: Readers of `coatcheck.adopt`: a request without a session of ours gets the one that
            its cookie of another package leads to.
        bound: Binds sessions to the device on which their user signs in; None: no.
        on_event: Is called with each `Event`; None: nothing is.
        users: The `Users` of the same cookie and storage: sign-ins are listed.
    """

    idle: Duration | None
    lifetime: Duration | None
    refresh: float
    rotate: Duration | None
    on_outage: OnOutage
    skip: Sequence[str]
    data: type[Any] | Schema[Any] | None
    user_key: str | None
    adopts: Sequence[Reader]
    bound: Bound | None
    on_event: OnEvent | None
    users: ListsSessions | None


class Durations(NamedTuple):
    """The durations of the options, in seconds."""

    idle: float | None
    lifetime: float | None
    rotate: float | None


def check(
    cookie: Cookie,
    idle: Duration | None,
    lifetime: Duration | None,
    refresh: float,
    rotate: Duration | None,
) -> Durations:
    """
    Return the durations in seconds, refuse what makes no sense, and warn of what is seldom meant.

    Raises:
        ConfigurationError: The cookie is not sealed, or a time or share is none.
    """
    check_sealed(cookie)
    seconds = check_times(idle=idle, lifetime=lifetime, rotate=rotate)
    if isinstance(refresh, bool) or not isinstance(refresh, int | float) or not 0 <= refresh <= 1:
        raise ConfigurationError(f"refresh must be from 0 to 1, got {refresh!r}")
    if not cookie.httponly:
        warn_of_weak(
            f"cookie {cookie.name!r} has httponly=False: a script of the page can take the session",
        )
    return seconds


def check_sealed(cookie: Cookie) -> None:
    """
    Check the cookie of sessions.

    Raises:
        ConfigurationError: It has no secrets.
    """
    if not cookie.signed:
        raise ConfigurationError(
            f"cookie {cookie.name!r} has no secrets: anybody could write a session of their own"
        )


def check_users(users: object) -> None:
    """
    Check what lists the sessions of users.

    Raises:
        ConfigurationError: It is no `Users`.
    """
    if users is not None and (isinstance(users, type) or not hasattr(users, "_rosters_of")):
        raise ConfigurationError(
            f"users must be a Users, got {_kind_of(users)}: Users(cookie, storage)"
        )


def _seconds(name: str, duration: object) -> float | None:
    if duration is None:
        return None
    return seconds_of(name, duration)


def check_times(
    *, idle: object = None, lifetime: object = None, rotate: object = None
) -> "Durations":
    """
    Return times in seconds.

    Raises:
        ConfigurationError: One is not above 0, or a rotation comes too often.
    """
    seconds = Durations(
        _seconds("idle", idle), _seconds("lifetime", lifetime), _seconds("rotate", rotate)
    )
    if seconds.rotate is not None and seconds.rotate < SHORTEST_ROTATION:
        raise ConfigurationError(
            f"rotate must be at least {SHORTEST_ROTATION} seconds, got {rotate!r}: an id that is "
            "renewed more often could be three ids old before a slow request ends"
        )
    return seconds


def check_seconds(name: str, duration: Duration) -> float:
    """
    Return a duration in seconds.

    Raises:
        ConfigurationError: It is not above 0.
    """
    seconds = _seconds(name, duration)
    if seconds is None:
        raise ConfigurationError(f"{name} must be seconds above 0, or a timedelta, got None")
    return seconds


def fresh_challenge(seconds: float) -> str:
    """Return the WWW-Authenticate of a 401 that asks for the password again (RFC 9470, 3)."""
    return f'Session error="insufficient_user_authentication", max_age="{round(seconds)}"'


def check_user_key(key: object) -> None:
    """
    Check the key under which an application keeps its user.

    Raises:
        ConfigurationError: It is no text, or an empty one.
    """
    if key is not None and not (isinstance(key, str) and key):
        got = repr(key) if key == "" else _kind_of(key)
        raise ConfigurationError(
            f'user_key must be the key of a session, as in user_key="user_id", got {got}'
        )


def checked_skip(skip: object) -> tuple[str, ...]:
    """
    Return the beginnings of paths that have no session.

    Raises:
        ConfigurationError: They are no sequence of texts that begin with "/".
    """
    if isinstance(skip, str):
        raise ConfigurationError(f"skip must be several texts, got one: write skip=({skip!r},)")
    if not isinstance(skip, Sequence):
        raise ConfigurationError(f"skip must be a tuple of paths, got {_kind_of(skip)}")
    for path in skip:
        if not isinstance(path, str) or not path.startswith("/"):
            raise ConfigurationError(f'skip must hold paths such as "/static/", got {path!r}')
    return tuple(skip)


def check_kinds(cookie: object, storage: object) -> None:
    """
    Check what the options are for.

    Raises:
        ConfigurationError: The cookie is no cookie, or the storage no storage.
    """
    if not isinstance(cookie, Cookie):
        if _is_storage(cookie) and isinstance(storage, Cookie):
            raise ConfigurationError(
                "cookie must be a Cookie, got the storage: write session(cookie, storage)"
            )
        got = "the class" if cookie is Cookie else _kind_of(cookie)
        raise ConfigurationError(f'cookie must be a Cookie, got {got}: Cookie("name", secrets=[…])')
    if _is_storage(storage) and not isinstance(storage, type):
        return
    if isinstance(storage, str):
        what = "a text: for a URL, write storage_from_url(url)"
    elif hasattr(storage, "execute_command"):
        what = f"a client, {_kind_of(storage)}: write RedisStorage(client)"
    elif hasattr(storage, "dialect"):
        what = f"an engine, {_kind_of(storage)}: write SqlStorage(engine)"
    elif hasattr(storage, "swap"):
        what = f"a backend, {_kind_of(storage)}: write KeyedStorage(backend)"
    else:
        what = f"{_kind_of(storage)}: make one, such as MemoryStorage()"
    raise ConfigurationError(
        f"storage must be a storage, with the methods read and save, got {what}"
    )


def _is_storage(given: object) -> bool:
    return callable(getattr(given, "read", None)) and callable(getattr(given, "save", None))


def _kind_of(given: object) -> str:
    if given is None:
        return "None"
    return f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__

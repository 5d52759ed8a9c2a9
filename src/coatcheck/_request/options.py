"""What may be said of an application's sessions, wherever they are set up."""

import warnings
from typing import Any, TypedDict

from coatcheck._cookie.cookie import Cookie
from coatcheck._model.schema import Schema
from coatcheck._request.outages import OnOutage
from coatcheck.errors import CoatcheckWarning, ConfigurationError

SHORTEST_ROTATION = 300
"""Seconds: three rotations outlast the longest request."""


class Options(TypedDict, total=False):
    """
    The keywords of `coatcheck.session`, which explains them, and of every other way in.

    Args:
        idle: Seconds that an unused session lives; None: the cookie's `max_age`, else 14 days.
        lifetime: Seconds that any session lives, used or not; None: no limit.
        refresh: The share of *idle* after which record and cookie of a session in use are renewed.
        rotate: Seconds after which the id of a session in use is renewed; None: never.
        on_outage: What becomes of requests while the storage's server fails: see `outages`.
        data: What `session.data` is: a dataclass, `msgspec.Struct`, TypedDict or pydantic model, or
            a `Schema` of one.
    """

    idle: float | None
    lifetime: float | None
    refresh: float
    rotate: float | None
    on_outage: OnOutage
    data: type[Any] | Schema[Any] | None


def check(
    cookie: Cookie,
    idle: float | None,
    lifetime: float | None,
    refresh: float,
    rotate: float | None,
) -> None:
    """
    Refuse what makes no sense, and warn of what is seldom meant.

    Raises:
        ConfigurationError: The cookie is not sealed, or a time or share is none.
    """
    if not cookie.signed:
        raise ConfigurationError(
            f"cookie {cookie.name!r} has no secrets: anybody could write a session of their own"
        )
    check_times(idle=idle, lifetime=lifetime, rotate=rotate)
    if not 0 <= refresh <= 1:
        raise ConfigurationError(f"refresh must be from 0 to 1, got {refresh!r}")
    if not cookie.httponly:
        warnings.warn(
            f"cookie {cookie.name!r} has httponly=False: a script of the page can take the session",
            CoatcheckWarning,
            stacklevel=4,
        )


def check_times(
    *, idle: float | None = None, lifetime: float | None = None, rotate: float | None = None
) -> None:
    """
    Refuse times that make no sense.

    Raises:
        ConfigurationError: One is not above 0, or a rotation comes too often.
    """
    for name, seconds in (("idle", idle), ("lifetime", lifetime)):
        if seconds is not None and not 0 < seconds < float("inf"):
            raise ConfigurationError(f"{name} must be seconds above 0, got {seconds!r}")
    if rotate is not None and not SHORTEST_ROTATION <= rotate < float("inf"):
        raise ConfigurationError(
            f"rotate must be at least {SHORTEST_ROTATION} seconds, got {rotate!r}: an id that is "
            "renewed more often could be three ids old before a slow request ends"
        )

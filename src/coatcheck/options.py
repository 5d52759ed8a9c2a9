"""What may be said of an application's sessions, wherever they are set up."""

from typing import Any, TypedDict

from coatcheck.outages import OnOutage
from coatcheck.schema import Schema


class Options(TypedDict, total=False):
    """
    The keywords of `coatcheck.session`, which explains them, and of every other way in.

    Args:
        idle: Seconds that an unused session lives; None: the cookie's `max_age`, else 14 days.
        lifetime: Seconds that any session lives, used or not; None: no limit.
        refresh: The share of *idle* after which record and cookie of a session in use are renewed.
        on_outage: What becomes of requests while the storage's server fails: see `outages`.
        data: What `session.data` is: a dataclass, `msgspec.Struct`, TypedDict or pydantic model, or
            a `Schema` of one.
    """

    idle: float | None
    lifetime: float | None
    refresh: float
    on_outage: OnOutage
    data: type[Any] | Schema[Any] | None

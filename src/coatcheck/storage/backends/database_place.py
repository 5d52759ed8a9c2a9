"""The address of a database, the way to connect, and the pauses between attempts."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import uniform
from typing import Any

from coatcheck.errors import BackendError

SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 0.5
"""Seconds before the next attempt to connect, after the first and after many that failed."""


@dataclass(frozen=True, slots=True, repr=False)
class Place:
    """
    A server. The repr hides the password.

    Args:
        name: For errors.
        arguments: Of the driver's `connect`.
        size: Connections at the same time, at the most.
        timeout: Seconds for connecting, for an answer, and for a free connection.
        prepares: Whether statements are prepared; not behind a pooler of transactions.
    """

    name: str
    arguments: Mapping[str, Any]
    size: int = 5
    timeout: float = 5.0
    prepares: bool = True


def longer(pause: float) -> float:
    """Return the pause after *pause*, about twice as long, so that clients do not keep in step."""
    return min(LONGEST_PAUSE, max(SHORTEST_PAUSE, pause * uniform(1.6, 2.4)))  # noqa: S311 - no secret


def unreachable(server: str, doing: str, cause: Exception) -> BackendError:
    """Return the error of a call for which there was no connection, or no answer in time."""
    error = BackendError(server, doing)
    cause.__context__ = None
    error.__cause__ = cause.with_traceback(None)  # its frames hold the password
    return error

"""
Errors of PostgreSQL as `BackendError`, without values of the statement.

PostgreSQL quotes values in the details of its messages, and in some messages: "Key (key)=(…)
already exists". So the error that is the cause has the class and the code of the server's error,
and its first line only where PostgreSQL quotes no value.
"""

from psycopg import Error, OperationalError, errors
from psycopg.pq import DiagnosticField
from psycopg.pq.abc import PGresult

from coatcheck.errors import BackendError
from coatcheck.storage.backends.sql_codes import (
    DEADLOCKS,
    DEMOTED,
    MIXED_UP,
    NO_PREPARE,
    QUOTING,
    WITHHELD,
    Deadlock,
    Demoted,
    Lost,
    Rejected,
    Stale,
)

_CLOSING = frozenset({"57P01", "57P02", "57P03", "57P05"})
"""The server shuts down, or ends this connection."""

_OUTDATED = "0A000"
"""A prepared statement does not fit the table any more; it is prepared again on a new one."""


def error_of(result: PGresult, server: str, doing: str) -> BackendError:
    """Return what a result that is an error means, with the server's own error as its cause."""
    code = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
    said = (result.error_field(DiagnosticField.MESSAGE_PRIMARY) or b"").decode(errors="replace")
    shown = WITHHELD if code[:2] in QUOTING else said or "the server sent no message"
    error = kind_of(code)(server, doing, NO_PREPARE if code in MIXED_UP else "")
    error.__cause__ = _class_of(code)(shown)
    return error


def kind_of(code: str) -> type[BackendError]:
    """Return the class of the error with that SQLSTATE."""
    if code in DEADLOCKS:
        return Deadlock
    if code in DEMOTED:
        return Demoted
    if code == _OUTDATED:
        return Stale
    # libpq itself says that a connection broke, and has no code for it.
    return Lost if code in _CLOSING or code.startswith("08") or not code else Rejected


def _class_of(code: str) -> type[Error]:
    try:
        return errors.lookup(code)
    except KeyError:
        return OperationalError


def broken(server: str, doing: str, cause: BaseException | None) -> Lost:
    """Return the error of a call whose connection broke before the answer came."""
    lost = Lost(server, doing)
    lost.__cause__ = cause
    return lost

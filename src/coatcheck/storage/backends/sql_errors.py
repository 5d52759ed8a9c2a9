"""
Errors of a database over SQLAlchemy, by what can be done about them, and without values.

SQLAlchemy shows the parameters of a statement in its error, and servers quote them in their
messages: "Key (key)=(…) already exists". The option hide_parameters of an engine is the
application's. So the error that is chained to one of ours keeps its class, its code and the
statement, and its message only where servers quote no value. It has no traceback: the frames of the
driver hold the values, too, and they are cleared.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import clear_frames
from typing import Any

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

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
    Stale,
    Taken,
    codes_of,
)

_CODES = ("sqlstate", "pgcode", "errno", "sqlite_errorcode", "sqlite_errorname")
"""Attributes in which drivers keep the code of an error."""

_SYNTAX = 1064
"""MariaDB and MySQL quote a part of the statement, with the values in it."""


@contextmanager
def telling(engine: Any, doing: str) -> Iterator[None]:
    """Raise what goes wrong in the block as a `BackendError` without passwords and values."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        kind, why = _kind_of(error), NO_PREPARE if _codes(error) & MIXED_UP else ""
        raise kind(_server(engine), doing, why) from without_values(error)
    except engine.dialect.loaded_dbapi.Error as error:
        # SQLAlchemy does not wrap what fails before the statement: when it sets the isolation.
        kind = BackendError if _timed_out(error) else Stale
        raise kind(_server(engine), doing) from without_values(error)


def without_values(error: Exception) -> Exception:
    """
    Take the parameters, quoted values and frames out of an error, in place; return it.

    Frames hold the driver's cursor. One of SQLite that is freed later, while its connection waits
    for a lock in a thread of its own, would hold up the event loop, which may be what the lock's
    holder waits for.
    """
    _clear_frames(error)
    if isinstance(error, StatementError):
        shown = _shown(error)
        error.params, error.hide_parameters = None, True
        error.orig = shown
        error.args = (f"({_name(shown)}) {shown}",)
        error.__cause__ = shown
    error.__context__ = None
    return error.with_traceback(None)


def _clear_frames(error: BaseException | None) -> None:
    """Free what the frames hold through which an error and its causes went."""
    while error is not None:
        clear_frames(error.__traceback__)
        error = error.__cause__


def _kind_of(error: Exception) -> type[BackendError]:
    if isinstance(error, IntegrityError):
        return Taken
    codes = _codes(error)
    if codes & DEADLOCKS:
        return Deadlock
    if codes & DEMOTED:
        return Demoted
    broken = isinstance(error, DBAPIError) and error.connection_invalidated and error.statement
    return Lost if broken and not _timed_out(error) else BackendError


def _codes(error: Exception) -> set[object]:
    return codes_of(getattr(error, "orig", None))


def _timed_out(error: BaseException) -> bool:
    """Tell whether a driver stopped to wait: another try would wait as long again."""
    cause: BaseException | None = error
    while cause:
        said = str(cause)
        if isinstance(cause, TimeoutError) or "timed out" in said or "timeout expired" in said:
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _shown(error: StatementError) -> BaseException | None:
    """Return a copy of the driver's error, of the same class, that quotes no value."""
    told = error.orig
    if told is None:
        return None
    said = _primary(told)
    if _may_quote(error):
        said = tuple(each if isinstance(each, int) else WITHHELD for each in said) or (WITHHELD,)
    shown = _made(type(told), said)
    for name in _CODES:
        value = getattr(told, name, None)
        if value is not None and getattr(shown, name, None) != value:
            setattr(shown, name, value)
    return shown


def _made(kind: type[BaseException], said: tuple[object, ...]) -> BaseException:
    try:
        return kind(*said)
    except Exception:  # a driver's class may take other arguments
        return Exception(*said)


def _primary(told: BaseException) -> tuple[object, ...]:
    """Return the arguments of a driver's error: of each text the first line, without details."""
    return tuple(
        each.partition("\n")[0] if isinstance(each, str) else each
        for each in told.args
        if isinstance(each, str | int)
    )


def _may_quote(error: StatementError) -> bool:
    if not isinstance(error, DBAPIError) or isinstance(error, IntegrityError | DataError):
        return True
    codes = _codes(error)
    states = {code[:2] for code in codes if isinstance(code, str)}
    return _SYNTAX in codes or bool(states & QUOTING)


def _name(error: BaseException | None) -> str:
    return f"{type(error).__module__}.{type(error).__name__}"


def _server(engine: Any) -> str:
    url = engine.url
    place = f"{url.host}:{url.port}" if url.port else url.host or url.database or "memory"
    return f"{engine.dialect.name} at {place}"

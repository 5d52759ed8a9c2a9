"""
The meaning of a database's errors, by their codes.

    Rejected    the database refused the statement, which changed nothing
    Taken       there is a row with this key
    Held        another transaction holds a row
    Deadlock    another statement was let through: try this one again
    Demoted     the server takes no writes any more: try it on a new connection
    Stale       the connection of the pool was broken already: the same
    Lost        the connection broke before the answer came: it may have been done or not
"""

from coatcheck.errors import BackendError

WRITE = "write"
"""The name, in errors, of what changes a record."""

DEMOTED = frozenset({"25006", 1290, 1836})
"""PostgreSQL: a standby. MariaDB and MySQL: read_only is on."""

DEADLOCKS = frozenset({"40P01", "40001", 1213, 1020, 3101})
"""The codes of PostgreSQL, MariaDB and MySQL for a deadlock or a lost serialization."""

MIXED_UP = frozenset({"26000", "42P05"})
"""PostgreSQL: a prepared statement is not there, or is there already."""

QUOTING = frozenset({"22", "23", "44", "45", "P0"})
"""Classes of SQLSTATE whose messages quote values: wrong data, broken constraints, triggers."""

WITHHELD = "the server's message may quote a value and is not shown"

NO_PREPARE = (
    "a pooler seems to give each transaction another connection: add prepare=no to the URL, or "
    "connect_args={'prepare_threshold': None} to the engine"
)


def codes_of(error: BaseException | None) -> set[object]:
    """Return the codes of a driver's error: SQLSTATE as text, MariaDB's and MySQL's as a number."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    number = getattr(error, "args", ())[:1]
    return {state} | ({number[0]} if number and isinstance(number[0], int) else set())


class Rejected(BackendError):
    """The database refused the statement, which changed nothing."""


class Taken(BackendError):
    """There is a row with this key."""


class Held(Rejected):
    """Another transaction holds a row."""


class Undone(Rejected):
    """The statement changed nothing, and may be tried again."""


class Deadlock(Undone):
    """Another statement was let through."""


class Demoted(Undone):
    """The server takes no writes; connections to it were dropped."""


class Stale(Undone):
    """The connection broke while nothing was asked."""


class Lost(BackendError):
    """The connection broke before the answer came: the statement may have been done or not."""

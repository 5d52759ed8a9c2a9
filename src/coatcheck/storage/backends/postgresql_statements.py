"""
The statements of PostgreSQL's backend, and their values in PostgreSQL's binary form.

No statement waits for a row that another transaction holds: it leaves the row out (SKIP LOCKED). So
a row that is held delays no other call, keeps no connection, and takes part in no deadlock.

A name of a prepared statement is made from its text. Behind a pooler, other clients may have
prepared statements on the same connection; one of the same name has the same text.

Source: https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-FORMAT-CODES; the
form of arrays: array_recv in src/backend/utils/adt/arrayfuncs.c.
"""

from collections.abc import Sequence
from hashlib import sha256
from struct import Struct
from typing import NamedTuple

TEXT, BYTEA, BIGINT, DOUBLE = 25, 17, 20, 701
"""Object ids of types."""

double = Struct("!d").pack
bigint = Struct("!q").pack
_number = Struct("!q").unpack
_length = Struct("!i").pack
_head = Struct("!iiiii").pack

_NULL = _length(-1)

RELAXED = "set_config('synchronous_commit', 'off', true) = 'off'"
"""A condition that is always true: the commit of this statement does not wait for the disk."""


class Statement(NamedTuple):
    """A statement, the name under which it is prepared, and that its values are binary."""

    name: bytes
    text: bytes
    formats: tuple[int, ...]


def statement(text: str, values: int) -> Statement:
    """Return a statement with so many values."""
    name = f"coatcheck_{sha256(text.encode()).hexdigest()[:16]}"
    return Statement(name.encode(), text.encode(), (1,) * values)


class Statements:
    """
    The statements over one table.

    Args:
        table: Its name.
        relaxed: A commit does not wait for the disk.
    """

    def __init__(self, table: str, *, relaxed: bool = False) -> None:
        t, index = quoted(table), quoted(f"ix_{table}_expires")
        also, where = (f" AND {RELAXED}", f" WHERE {RELAXED}") if relaxed else ("", "")
        self.get = statement(f"SELECT record, version FROM {t} WHERE key = $1 AND expires > $2", 2)
        # By the keys, one after another, however few rows there are or seem to be: the plan of a
        # prepared statement may be older than most rows.
        self.get_many = statement(
            "SELECT asked.key, found.record, found.version FROM unnest($1::text[]) AS asked (key),"
            f" LATERAL (SELECT record, version FROM {t} WHERE key = asked.key AND expires > $2"
            " OFFSET 0) AS found",
            2,
        )
        self.replace = statement(
            f"UPDATE {t} SET record = $1, version = $2, expires = $3 WHERE ctid = (SELECT ctid"
            f" FROM {t} WHERE key = $4 AND version = $5 AND expires > $6{also}"
            " FOR UPDATE SKIP LOCKED)",
            6,
        )
        self.claim = statement(
            f"INSERT INTO {t} (key, record, version, expires)"
            f" SELECT $1::text, $2::bytea, $3::bigint, $4::float8{where} ON CONFLICT DO NOTHING",
            4,
        )
        self.expel = statement(
            f"DELETE FROM {t} WHERE key = (SELECT key FROM {t} WHERE key = $1 AND expires <= $2"
            " FOR UPDATE SKIP LOCKED)",
            2,
        )
        new = (
            "unnest($1::text[], $2::bytea[], $3::bigint[], $4::bigint[], $5::float8[])"
            " AS new (key, record, version, was, expires)"
        )
        replace = (
            f"UPDATE {t} AS old SET record = new.record, version = new.version,"
            f" expires = new.expires FROM {new}, LATERAL (SELECT ctid FROM {t}"
            f" WHERE key = new.key AND version = new.was AND expires > $6{also}"
            " FOR UPDATE SKIP LOCKED) AS free WHERE old.ctid = free.ctid RETURNING old.key"
        )
        self.replace_many = statement(replace, 6)
        self.swap_many = statement(
            f"WITH replaced AS ({replace}),"
            f" claimed AS (INSERT INTO {t} (key, record, version, expires)"
            f" SELECT key, record, version, expires FROM {new} WHERE was IS NULL{also}"
            " ON CONFLICT DO NOTHING RETURNING key)"
            " SELECT key FROM replaced UNION ALL SELECT key FROM claimed",
            6,
        )
        self.delete = statement(f"DELETE FROM {t} WHERE key = $1", 1)
        # By the place of the row: half the time that a search by key takes.
        self.sweep = statement(
            f"DELETE FROM {t} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {t} WHERE expires <= $1"
            " ORDER BY expires LIMIT $2 FOR UPDATE SKIP LOCKED)) AND expires <= $1",
            2,
        )
        self.count = statement(
            f"SELECT count(*) FROM (SELECT 1 FROM {t} WHERE expires <= $1 LIMIT $2) AS spent",
            2,
        )
        self.is_there = statement("SELECT to_regclass($1::text) IS NOT NULL", 1)
        self.name = t.encode()
        self.create = [
            statement(
                f"CREATE TABLE IF NOT EXISTS {t} (key VARCHAR(200) NOT NULL, record BYTEA NOT NULL,"
                " version BIGINT NOT NULL, expires DOUBLE PRECISION NOT NULL, PRIMARY KEY (key))",
                0,
            ),
            statement(f"CREATE INDEX IF NOT EXISTS {index} ON {t} (expires)", 0),
        ]


def number(value: bytes) -> int:
    """Return the number that a bigint stands for."""
    found: int = _number(value)[0]
    return found


def quoted(name: str) -> str:
    """Return the name of a table or an index as a statement has it."""
    return '"' + name.replace('"', '""') + '"'


def array(kind: int, values: Sequence[bytes | None]) -> bytes:
    """Return an array of values of one type, each in its binary form; None is NULL."""
    parts = [_head(1, None in values, kind, len(values), 1)]
    for value in values:
        parts += (_NULL,) if value is None else (_length(len(value)), value)
    return b"".join(parts)


def array_of_equals(kind: int, values: Sequence[bytes]) -> bytes:
    """Return an array of values that have the same length, in less time than `array`."""
    size = _length(len(values[0]))
    return _head(1, 0, kind, len(values), 1) + size + size.join(values)

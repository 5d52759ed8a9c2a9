"""
The table of sessions in an SQL database, and the statements over it.

    key         the primary key
    record      the session
    version     random, new with every write
    expires     seconds since 1970; indexed, so that a sweep finds what expired

All differences between databases are in this module.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Executable,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import mysql, postgresql

LONGEST_KEY = 200


def table_of(metadata: MetaData, name: str) -> Table:
    """Return the table of sessions, as part of *metadata*."""
    # MySQL and MariaDB compare text without regard to case, and their plain BLOB ends at 64 kB.
    key = String(LONGEST_KEY).with_variant(
        mysql.VARCHAR(LONGEST_KEY, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
    )
    record = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
    return Table(
        name,
        metadata,
        Column("key", key, primary_key=True),
        Column("record", record, nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("expires", Double, nullable=False, index=True),
    )


class Statements:
    """
    Every statement over a table of sessions.

    Args:
        dialect: SQLAlchemy's name of the database.
    """

    def __init__(self, table: Table, dialect: str) -> None:
        rows: Any = table.c
        new: Any = {name: bindparam(name) for name in ("record", "version", "expires")}
        this, living = rows.key == bindparam("of"), rows.expires > bindparam("now")
        self._table, self._dialect = table, dialect
        self._spent = rows.expires <= bindparam("now")
        self.get = select(rows.record, rows.version).where(this, living)
        among = rows.key.in_(bindparam("among", expanding=True))
        self.get_many = select(rows.key, rows.record, rows.version).where(among, living)
        self.claim = insert(table).values(key=bindparam("key"), **new)
        self.expel = delete(table).where(this, self._spent)
        self.replace = (
            update(table).where(this, rows.version == bindparam("was"), living).values(**new)
        )
        self.delete = delete(table).where(this)

    def count(self, limit: int) -> Executable:
        """Return the statement that counts the expired rows, up to a limit."""
        spent = select(self._table.c.key).where(self._spent).limit(limit)
        return select(func.count()).select_from(spent.subquery())

    def sweep(self, limit: int) -> Executable:
        """Return the statement that removes so many expired rows; several may run at once."""
        spent, some = "expires <= :now", f"ORDER BY expires LIMIT {limit:d}"
        if self._dialect in ("mysql", "mariadb"):
            # It can neither limit a subquery nor order a DELETE through SQLAlchemy.
            table = mysql.dialect().identifier_preparer.format_table(self._table)
            return text(f"DELETE FROM {table} WHERE {spent} {some}")  # noqa: S608 - names of our own
        if self._dialect == "postgresql":
            # By the place of the row: half the time that a search by key takes.
            dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
            table = dialect.identifier_preparer.format_table(self._table)
            found = f"SELECT ctid FROM {table} WHERE {spent} {some} FOR UPDATE SKIP LOCKED"  # noqa: S608
            return text(f"DELETE FROM {table} WHERE ctid = ANY(ARRAY({found})) AND {spent}")  # noqa: S608
        rows = self._table.c
        keys = select(rows.key).where(self._spent).order_by(rows.expires).limit(limit)
        return delete(self._table).where(rows.key.in_(keys.with_for_update(skip_locked=True)))

"""
The statements of MariaDB's and MySQL's backend.

Values in the text of a statement are numbers, hexadecimal literals and keys without quotes or
backslashes, so nothing needs an escape.
"""

from collections.abc import Sequence
from typing import NamedTuple


class NewRow(NamedTuple):
    """A row to be written; *was* is the version that it replaces, None: there must be no row."""

    key: str
    was: object
    record: bytes
    version: int
    expires: float


class Statements:
    """
    The statements over one table.

    Args:
        table: Its name.
    """

    def __init__(self, table: str) -> None:
        t = self._table = quoted(table)
        escaped = t.replace("%", "%%")
        self.get = f"SELECT record, version FROM {escaped} WHERE `key` = %s AND expires > %s"
        self.replace = (
            f"UPDATE {t} SET record = ?, version = ?, expires = ?"
            " WHERE `key` = ? AND version = ? AND expires > ?"
        )
        self.claim = f"INSERT INTO {t} (`key`, record, version, expires) VALUES (?, ?, ?, ?)"
        self.expel = f"DELETE FROM {t} WHERE `key` = ? AND expires <= ?"
        self.delete = f"DELETE FROM {t} WHERE `key` = ?"
        index = quoted(f"ix_{table}_expires")
        self.create = (
            f"CREATE TABLE IF NOT EXISTS {t} ("
            "`key` VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,"
            " record MEDIUMBLOB NOT NULL, version BIGINT NOT NULL, expires DOUBLE NOT NULL,"
            f" PRIMARY KEY (`key`), INDEX {index} (expires))"
        )

    def get_many(self, keys: Sequence[str], now: float) -> str:
        """Return the statement that reads several rows."""
        return (
            f"SELECT `key`, record, version FROM {self._table}"
            f" WHERE `key` IN ({literals(keys)}) AND expires > {now!r}"
        )

    def claim_one(self, row: NewRow) -> str:
        """Return the statement that writes a row if there is none of its key."""
        # IGNORE: a key that is taken is no error, and its row stays.
        return (
            f"INSERT IGNORE INTO {self._table} (`key`, record, version, expires) VALUES"
            f" ({literal(row.key)}, x'{row.record.hex()}', {row.version}, {row.expires!r})"
        )

    def replace_many(self, rows: Sequence[NewRow], now: float) -> tuple[str, str]:
        """
        Return the statement that writes rows which are still of their versions, and a second one.

        The second, in the same transaction, finds the keys that were written, or none if all were.
        """
        keys = [literal(row.key) for row in rows]
        records = _by_key(keys, [f"x'{row.record.hex()}'" for row in rows])
        versions = _by_key(keys, [str(row.version) for row in rows])
        expires = _by_key(keys, [repr(row.expires) for row in rows])
        was = " OR ".join(
            f"`key` = {key} AND version = {row.was}" for key, row in zip(keys, rows, strict=True)
        )
        # Without the hint the whole of a small table is searched, and each of its rows is locked.
        replace = (
            f"UPDATE {self._table} FORCE INDEX (PRIMARY) SET record = {records},"
            f" version = {versions}, expires = {expires} WHERE ({was}) AND expires > {now!r}"
        )
        replaced = (
            f"SELECT `key` FROM {self._table} WHERE ROW_COUNT() < {len(rows)}"
            f" AND `key` IN ({','.join(keys)})"
            f" AND version IN ({','.join(str(row.version) for row in rows)})"
        )
        return replace, replaced

    def sweep(self, now: float, limit: int) -> str:
        """Return the statement that removes so many expired rows."""
        return (
            f"DELETE FROM {self._table} WHERE expires <= {now!r} ORDER BY expires LIMIT {limit:d}"
        )

    def count(self, now: float, limit: int) -> str:
        """Return the statement that counts expired rows, up to a limit."""
        return (
            f"SELECT count(*) FROM (SELECT 1 FROM {self._table} WHERE expires <= {now!r}"
            f" LIMIT {limit:d}) AS spent"
        )


def _by_key(keys: Sequence[str], values: Sequence[str]) -> str:
    """Return an expression that has the value of each row's key."""
    cases = " ".join(f"WHEN {key} THEN {value}" for key, value in zip(keys, values, strict=True))
    return f"CASE `key` {cases} END"


def quoted(name: str) -> str:
    """Return the name of a table or an index as a statement has it."""
    return "`" + name.replace("`", "``") + "`"


def literals(keys: Sequence[str]) -> str:
    """Return keys as a list in a statement has them."""
    every = "".join(keys)
    if every.isascii() and "'" not in every and "\\" not in every:
        return "'" + "','".join(keys) + "'"  # shorter, and much faster to make
    return ",".join(map(literal, keys))


def literal(key: str) -> str:
    """Return a key as a statement has it; it compares as the column does."""
    return f"_ascii x'{key.encode('ascii').hex()}'"

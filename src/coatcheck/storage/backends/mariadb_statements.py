"""
The statements of MariaDB's and MySQL's backend.

Values in the text of a statement are numbers and hexadecimal literals, so nothing needs an escape.
"""

from collections.abc import Sequence

from coatcheck.storage.backend import Swap


class Statements:
    """
    The statements over one table.

    Args:
        table: Its name.
    """

    def __init__(self, table: str) -> None:
        t = self._table = quoted(table)
        self.get = f"SELECT record, version FROM {t} WHERE `key` = ? AND expires > ?"
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
        among = ",".join(map(literal, keys))
        return (
            f"SELECT `key`, record, version FROM {self._table}"
            f" WHERE `key` IN ({among}) AND expires > {now!r}"
        )

    def put(self, swap: Swap, version: int, expires: float, now: float) -> str:
        """Return the statement that writes a row; it changes one row or none."""
        key, record = literal(swap.key), f"x'{swap.record.hex()}'"
        if swap.version is None:  # IGNORE: a key that is taken is no error, and its row stays
            return (
                f"INSERT IGNORE INTO {self._table} (`key`, record, version, expires)"
                f" VALUES ({key}, {record}, {version}, {expires!r})"
            )
        return (
            f"UPDATE {self._table} SET record = {record}, version = {version},"
            f" expires = {expires!r} WHERE `key` = {key} AND version = {swap.version}"
            f" AND expires > {now!r}"
        )

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


def quoted(name: str) -> str:
    """Return the name of a table or an index as a statement has it."""
    return "`" + name.replace("`", "``") + "`"


def literal(key: str) -> str:
    """Return a key as a statement has it; it compares as the column does."""
    return f"_ascii x'{key.encode('ascii').hex()}'"

"""
Rows of another package's table, through an SQLAlchemy engine, plain or awaited.

The statements are SQLAlchemy's own, so every database quotes the names as it must.
"""

from typing import Any

import sqlalchemy as sa

from coatcheck.adopt.stores import Answers, Columns, Row, as_time


class SqlRows:
    """
    The table of another package.

    Args:
        engine: An `Engine` or an `AsyncEngine`.
        table: Its name.
        columns: The names of those that are read.
    """

    server = "the database"

    def __init__(self, engine: Any, table: str, columns: Columns) -> None:
        self._engine = engine
        self.is_awaited = hasattr(engine, "sync_engine")
        key, expires = sa.column(columns.key, sa.String), sa.column(columns.expires, sa.DateTime)
        data: sa.ColumnClause[Any] = sa.column(columns.data)
        there = sa.table(table, key, data, expires)
        given = sa.bindparam("session", type_=sa.String)
        self._find = sa.select(data, expires).select_from(there).where(key == given)
        self._remove = sa.delete(there).where(key == given)

    def fetch(self, key: str) -> Answers[Row | None]:
        found = yield self._run(self._find, key)
        if found is None:
            return None
        data, expires = found
        data = data.encode() if isinstance(data, str) else bytes(data or b"")
        return Row(data, as_time(expires))

    def delete(self, key: str) -> Answers[None]:
        yield self._run(self._remove, key)

    def _run(self, statement: Any, key: str) -> Any:
        """Return the first row of a statement, to be awaited if the engine is."""
        if self.is_awaited:
            return self._run_awaited(statement, key)
        with self._engine.begin() as connection:
            return _first(connection.execute(statement, {"session": key}))

    async def _run_awaited(self, statement: Any, key: str) -> Any:
        async with self._engine.begin() as connection:
            return _first(await connection.execute(statement, {"session": key}))


def _first(result: Any) -> Any:
    return result.first() if result.returns_rows else None

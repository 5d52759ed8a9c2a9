"""The connections of one event loop to a PostgreSQL: libpq's own, through psycopg."""

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.pq.abc import PGresult

from coatcheck.storage.backends.async_connections import AsyncConnections
from coatcheck.storage.backends.async_postgresql_connection import AsyncPostgresqlConnection
from coatcheck.storage.backends.database_place import Place
from coatcheck.storage.backends.postgresql_statements import Statement


class AsyncPostgresqlPool(AsyncConnections[AsyncPostgresqlConnection]):
    """
    Connections of the running event loop.

    Args:
        place: Where the server is, and how it is reached.
    """

    def __init__(self, place: Place) -> None:
        super().__init__(place, self._connected, psycopg.Error)

    def run(self, doing: str, statement: Statement, values: Sequence[bytes]) -> Any:
        """
        Run a statement, and return what is to be awaited for its result.

        Raises:
            BackendError: When it is awaited; see `sql_codes` for its kinds.
        """
        if self._idle:
            return self._idle.pop().ask(doing, statement, values)
        return self._run_later(doing, statement, values)

    async def _run_later(
        self, doing: str, statement: Statement, values: Sequence[bytes]
    ) -> PGresult:
        connection = await self.wait(doing)
        return await connection.ask(doing, statement, values)

    async def _connected(self) -> AsyncPostgresqlConnection:
        opened = await psycopg.AsyncConnection.connect(autocommit=True, **self.place.arguments)
        return AsyncPostgresqlConnection(opened, self)

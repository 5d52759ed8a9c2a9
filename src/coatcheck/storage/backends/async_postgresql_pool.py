"""The connections of one event loop to a PostgreSQL: libpq's own, through psycopg."""

from collections.abc import Sequence

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from coatcheck.storage.backends.async_connections import AsyncConnections
from coatcheck.storage.backends.async_postgresql_connection import AsyncPostgresqlConnection
from coatcheck.storage.backends.database_place import Place, unreachable
from coatcheck.storage.backends.postgresql_errors import broken, error_of
from coatcheck.storage.backends.postgresql_statements import Statement
from coatcheck.storage.backends.sql_codes import WRITE, Demoted, Lost, Stale

_FINE = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)


class AsyncPostgresqlPool(AsyncConnections[AsyncPostgresqlConnection]):
    """
    Connections of the running event loop.

    Args:
        place: Where the server is, and how it is reached.
    """

    def __init__(self, place: Place) -> None:
        super().__init__(place, self._connected, psycopg.Error)

    async def run(self, doing: str, statement: Statement, values: Sequence[bytes]) -> PGresult:
        """
        Run a statement, and return its result.

        Raises:
            BackendError: See `sql_codes` for its kinds.
        """
        connection = self.idle() or await self.wait(doing)
        try:
            result = await connection.ask(statement, values, lasting=doing == WRITE)
        except TimeoutError as late:  # another try would wait as long again
            raise unreachable(self.place.name, doing, late) from late
        except (psycopg.Error, OSError) as error:
            self.drop()
            raise broken(self.place.name, doing, error.with_traceback(None)) from error
        if result.status in _FINE:
            return result
        refusal = error_of(result, self.place.name, doing)
        if isinstance(refusal, Demoted | Stale | Lost):
            self.drop()
        raise refusal

    async def _connected(self) -> AsyncPostgresqlConnection:
        opened = await psycopg.AsyncConnection.connect(autocommit=True, **self.place.arguments)
        return AsyncPostgresqlConnection(
            opened, prepares=self.place.prepares, free=self.free, ended=self.ended
        )

"""
Connections of psycopg that do not wait for ever.

A server that is paused, or behind a cable that was pulled, answers nothing, and libpq has no
timeout for that. psycopg has one in the method through which it waits for every answer.
"""

from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

INTERVAL = 0.1
"""Seconds after which psycopg looks for signals while it waits; its own default."""


def patient(seconds: float) -> type[psycopg.Connection[Any]]:
    """Return a kind of connection that waits so long for an answer, and is closed then."""

    class Patient(psycopg.Connection[Any]):
        def wait(
            self,
            gen: Any,
            interval: float = INTERVAL,
            timeout: float | None = seconds,
        ) -> Any:
            try:
                return super().wait(gen, interval, timeout)
            except psycopg.Error:
                _finish_if_stuck(self)
                raise

    return Patient


def async_patient(seconds: float) -> type[psycopg.AsyncConnection[Any]]:
    """Return the same kind of connection, awaited."""

    class AsyncPatient(psycopg.AsyncConnection[Any]):
        async def wait(
            self,
            gen: Any,
            interval: float = INTERVAL,
            timeout: float | None = seconds,  # noqa: ASYNC109 - the name is psycopg's
        ) -> Any:
            try:
                return await super().wait(gen, interval, timeout)
            except psycopg.Error:
                _finish_if_stuck(self)
                raise

    return AsyncPatient


def _finish_if_stuck(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    if connection.pgconn.transaction_status == TransactionStatus.ACTIVE:
        connection.pgconn.finish()

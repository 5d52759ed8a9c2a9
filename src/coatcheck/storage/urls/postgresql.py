"""
Connections of psycopg with a timeout for each answer.

libpq has no timeout for a server that stops to answer: one that is paused, or whose network failed.
psycopg waits for each answer in one method, which takes a timeout.
"""

from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

INTERVAL = 0.1
"""Seconds after which psycopg checks for signals while it waits; its own default."""


def patient(seconds: float) -> type[psycopg.Connection[Any]]:
    """Return a class of connections that are closed if an answer takes more than *seconds*."""

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
    """Return the same as `patient`, for asynchronous connections."""

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

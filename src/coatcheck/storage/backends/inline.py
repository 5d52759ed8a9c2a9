"""
A backend in files of this machine, awaited: in place while nothing waits, else in a thread.

A read that takes 5 µs is not worth a hop to a worker thread, which takes 40. But a lock that
another process holds must not stop the event loop. So every call is made in place by a backend that
never waits; when that is `Busy`, one that waits is asked, in a thread.
"""

import asyncio

from coatcheck.errors import BackendError
from coatcheck.storage.backend import Backend, Refused, Stored, Sweeps, kind_of, swept
from coatcheck.storage.protocol import Closes


class Busy(BackendError):
    """Somebody else holds the lock, and did not let it go in time."""


class InlineBackend:
    """
    The asynchronous form of a plain backend whose calls are short.

    Args:
        impatient: Never waits, and raises `Busy` where it would have to.
        patient: The same, but waits.
    """

    def __init__(self, impatient: Backend, patient: Backend) -> None:
        self._impatient = impatient
        self._patient = patient

    @property
    def kind(self) -> str:
        """The name of the plain backend's class."""
        return kind_of(self._patient)

    async def get(self, key: str) -> Stored | None:
        try:
            return self._impatient.get(key)
        except Busy:
            return await asyncio.to_thread(self._patient.get, key)

    async def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        try:
            return self._impatient.swap(key, version, record, ttl)
        except Busy:
            return await asyncio.to_thread(self._patient.swap, key, version, record, ttl)

    async def delete(self, key: str) -> None:
        try:
            self._impatient.delete(key)
        except Busy:
            await asyncio.to_thread(self._patient.delete, key)

    async def sweep(self, limit: int) -> int:
        backend = self._patient
        return await asyncio.to_thread(backend.sweep, limit) if isinstance(backend, Sweeps) else 0

    @property
    def swept(self) -> float:
        """The share of a round of sweeps that is done."""
        return swept(self._patient)

    async def close(self) -> None:
        for backend in (self._impatient, self._patient):
            if isinstance(backend, Closes):
                backend.close()

"""Storages that sweep by themselves, now and then."""

import asyncio

import pytest

from coatcheck.errors import BackendError
from coatcheck.storage import AsyncKeyedStorage, KeyedStorage
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.storage.backends.threaded import ThreadedBackend
from coatcheck.storage.clock import system_clock
from coatcheck.storage.sweeping import SWEPT_AT_ONCE
from coatcheck.testing.plain_or_awaited import Driven


class Swept(MemoryBackend):
    """A backend that counts how often it is swept, and fails then if it is told to."""

    def __init__(self) -> None:
        super().__init__(max_records=100, clock=system_clock)
        self.limits: list[int] = []
        self.error: BackendError | None = None

    def sweep(self, limit: int) -> int:
        self.limits.append(limit)
        if self.error:
            raise self.error
        return 0


def storage_that_sweeps(form: str, backend: Swept, every: int | None) -> Driven:
    plain = KeyedStorage(backend, sweep_every=every)
    if form == "plain":
        return Driven(plain)
    return Driven(AsyncKeyedStorage(ThreadedBackend(backend), sweep_every=every))


@pytest.mark.parametrize("form", ["plain", "asyncio"])
@pytest.mark.parametrize(("every", "sweeps"), [(None, 0), (3, 3), (10, 1), (11, 0)])
def test_new_sessions_sweep_a_little_now_and_then(
    form: str, every: int | None, sweeps: int
) -> None:
    """Only new sessions count: nothing grows where only old ones are written."""
    backend = Swept()
    storage = storage_that_sweeps(form, backend, every)

    async def scenario() -> None:
        for _ in range(10):
            session = await storage.read(None)
            session["n"] = 1
            value = await storage.save(session)
            session = await storage.read(value)
            session["n"] = 2
            await storage.save(session)

    asyncio.run(scenario())
    assert backend.limits == [SWEPT_AT_ONCE] * sweeps


@pytest.mark.parametrize("form", ["plain", "asyncio"])
def test_a_sweep_that_fails_fails_no_request(form: str, caplog: pytest.LogCaptureFixture) -> None:
    """The session is saved; the failure is a line in the log."""
    backend = Swept()
    backend.error = BackendError("Test", "sweep")
    storage = storage_that_sweeps(form, backend, 1)

    async def scenario() -> None:
        session = await storage.read(None)
        session["n"] = 1
        value = await storage.save(session)
        assert (await storage.read(value))["n"] == 1

    asyncio.run(scenario())
    assert "expired sessions stay for now: Test failed to sweep" in caplog.text

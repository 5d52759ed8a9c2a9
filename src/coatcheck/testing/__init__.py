"""
What a test of your own needs.

    class TestMyBackend(BackendContract): ...    every rule of a backend, run against yours
    class TestMyStorage(StorageContract): ...    the same for a storage
    MemoryStorage(clock=clock)                   with a Clock, time passes when the test says so
    kit = SessionKit(cookie, storage)            signs the clients of an application in: see `kit`
    with failing(storage): ...                   its server is down; later(storage, 3600) likewise

`pytest_plugins = ["coatcheck.testing.plugin"]` has it all as fixtures.

It needs pytest. Nothing else in the package does.
"""

from coatcheck.testing.backend_contract import BackendContract
from coatcheck.testing.clock import Clock
from coatcheck.testing.faults import failing, later
from coatcheck.testing.kit import SessionKit
from coatcheck.testing.storage_contract import StorageContract

__all__ = ["BackendContract", "Clock", "SessionKit", "StorageContract", "failing", "later"]

"""
Helpers for your own tests.

    class TestMyBackend(BackendContract): ...    every rule of a backend, as tests for yours
    class TestMyStorage(StorageContract): ...    every rule of a storage
    MemoryStorage(clock=Clock())                 a clock that the test moves
    kit = SessionKit(cookie, storage)            reads and changes the sessions of test clients
    with failing(storage): ...                   the server of the storage fails
    with later(storage, 3600): ...               an hour later

`pytest_plugins = ["coatcheck.testing.plugin"]` gives the same as fixtures.

The contracts and the fixtures are for pytest; the rest needs no package.
"""

from coatcheck.testing.backend_contract import BackendContract
from coatcheck.testing.clock import Clock
from coatcheck.testing.faults import failing, later
from coatcheck.testing.kit import SessionKit
from coatcheck.testing.storage_contract import StorageContract

__all__ = ["BackendContract", "Clock", "SessionKit", "StorageContract", "failing", "later"]

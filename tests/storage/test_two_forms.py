"""The plain and the awaited form of one storage of records."""

import asyncio
from pathlib import Path

import pytest

from coatcheck import ConfigurationError
from coatcheck.storage import AsyncKeyedStorage, FileStorage, MemoryStorage
from coatcheck.storage.backends.inline import InlineBackend
from coatcheck.storage.two_forms import TwoForms


def awaited_alone() -> AsyncKeyedStorage:
    backend = MemoryStorage().backend
    return AsyncKeyedStorage(InlineBackend(backend, backend))


def test_both_forms_of_a_storage_are_found(tmp_path: Path) -> None:
    """A storage that waits brings its awaited form along."""
    storage = FileStorage(tmp_path / "sessions")
    both = TwoForms(storage)
    assert (both.records, both.async_records) == (storage, storage.aio)
    assert both.space is storage.space


def test_a_storage_that_never_waits_is_awaited_in_place() -> None:
    """Over the same records, each time the same."""
    storage = MemoryStorage(encrypt=True)
    both = TwoForms(storage)
    storage.backend.swap("k", None, b"record", 9.0)
    found = asyncio.run(both.async_records.backend.get("k"))
    assert found and found.record == b"record"
    assert both.async_records is both.async_records
    assert both.async_records.space is storage.space


def test_an_awaited_storage_has_no_plain_form() -> None:
    """A plain application gets an error that says what to do."""
    both = TwoForms(awaited_alone())
    assert both.async_records is both.storage
    with pytest.raises(ConfigurationError, match="use the plain form of its client"):
        _ = both.records


def test_one_storage_fits_beside_another(tmp_path: Path) -> None:
    """It can be asked wherever the other one is."""
    memory, files = TwoForms(MemoryStorage()), TwoForms(FileStorage(tmp_path / "sessions"))
    awaited = TwoForms(awaited_alone())
    assert memory.fits(files) and files.fits(memory) and awaited.fits(memory)
    assert files.fits(awaited) and not memory.fits(awaited)

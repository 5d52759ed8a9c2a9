"""An error leaves the frames between a storage and its server behind."""

import traceback
from typing import NoReturn

import pytest

from coatcheck import BackendError, Session
from coatcheck.storage import KeyedStorage
from coatcheck.storage.tracebacks import forget_frames

ID = "Ab3" * 13 + "X"
VALUE = "a value that no report shows"


class Down:
    """A backend whose client raises an error in a frame that holds all it was given."""

    def get(self, key: str) -> NoReturn:
        self._ask(key)

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> NoReturn:
        self._ask(key, version, record, ttl)

    def delete(self, key: str) -> NoReturn:
        self._ask(key)

    def _ask(self, *words: object) -> NoReturn:
        try:
            refuse(words)
        except OSError as error:
            raise BackendError("the server", "read") from error


def refuse(_: object) -> NoReturn:
    raise OSError("the server is gone")


def shown(error: BaseException) -> str:
    """Return what a reporter of errors prints: every frame with its local variables."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(report.format())


def save(storage: KeyedStorage) -> None:
    session = Session()
    session["text"] = VALUE
    storage.save(session)


def test_an_error_of_a_read_shows_no_id_and_no_key() -> None:
    """Neither in the frames of the backend, nor in those of its causes; both texts stay."""
    with pytest.raises(BackendError) as caught:
        KeyedStorage(Down()).read(ID)
    report = shown(caught.value).replace(f"ID = {ID!r}", "")
    assert "the server failed to read" in report and "the server is gone" in report
    assert "_ask" not in report and ID not in report


def test_an_error_of_a_save_shows_no_value() -> None:
    """The record is in the frames of the backend alone."""
    with pytest.raises(BackendError) as caught:
        save(KeyedStorage(Down()))
    assert VALUE not in shown(caught.value).replace(f"VALUE = {VALUE!r}", "")


def test_causes_forget_their_frames() -> None:
    """Each error of a chain does."""
    with pytest.raises(BackendError) as caught:
        Down().get(ID)
    forget_frames(caught.value)
    cause = caught.value.__cause__
    assert cause and (caught.value.__traceback__, cause.__traceback__) == (None, None)

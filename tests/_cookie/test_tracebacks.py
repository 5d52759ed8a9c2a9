"""An error leaves the frames between a storage and its server behind."""

import traceback
from typing import NoReturn

import pytest

from coatcheck import BackendError, ResponseStarted, Session
from coatcheck._cookie.tracebacks import (
    forget_frames,
    forget_our_frames,
    hides_arguments,
    hides_credentials,
)
from coatcheck.storage import KeyedStorage

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


def fail(error: Exception) -> NoReturn:
    raise error


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


def test_an_error_that_the_application_handles_keeps_its_frames() -> None:
    """It led to ours only because the application was handling it."""
    with pytest.raises(BackendError) as caught:
        handle_by(Down())
    shown_by = traceback.extract_tb(own_error(caught.value).__traceback__)
    assert [frame.name for frame in shown_by] == ["handle_by"]


def handle_by(backend: Down) -> None:
    try:
        [1].index(0)
    except ValueError:
        try:
            backend.get(ID)
        except BackendError as error:
            forget_frames(error)
            raise


def own_error(error: BaseException) -> BaseException:
    while not isinstance(error, ValueError):
        assert error.__context__ is not None
        error = error.__context__
    return error


def test_errors_that_lead_to_each_other_end() -> None:
    """A cause may be set by hand."""
    first, second = ValueError(), ValueError()
    first.__cause__, second.__cause__ = second, first
    forget_frames(first)


def test_only_errors_of_coatcheck_forget_their_frames() -> None:
    """Another one is a mistake in code of the application, which is to be found."""
    for error, kept in ((ResponseStarted("set()"), False), (LookupError(), True)):
        with pytest.raises(Exception) as raised:  # noqa: PT011 - of two kinds
            fail(error)
        forget_our_frames(raised.value)
        assert (raised.value.__traceback__ is not None) is kept


@hides_arguments
def keep(value: str, *, error: BaseException) -> str:
    """Keep a value."""
    if value:
        raise error
    return "kept"


def test_arguments_are_hidden_from_reporters() -> None:
    """Those of errors of coatcheck; the function is otherwise as it was."""
    assert keep("", error=LookupError()) == "kept"
    assert keep.__doc__ == "Keep a value."
    with pytest.raises(ResponseStarted) as ours:
        keep(VALUE, error=ResponseStarted("set()"))
    assert VALUE not in shown(ours.value).replace(f"VALUE = {VALUE!r}", "")
    with pytest.raises(LookupError) as other:
        keep(VALUE, error=LookupError())
    assert "raise error" in shown(other.value)


@hides_credentials
def sign_in(user: str, *, error: BaseException) -> str:
    """Sign in."""
    if user:
        raise error
    return "in"


@pytest.mark.parametrize("error", [ResponseStarted("sign_in()"), TypeError(), ValueError()])
def test_credentials_are_hidden_from_reporters_of_any_error(error: Exception) -> None:
    """Of a mistaken argument, too."""
    assert sign_in("", error=error) == "in"
    assert sign_in.__doc__ == "Sign in."
    with pytest.raises(type(error)) as raised:
        sign_in(VALUE, error=error)
    assert VALUE not in shown(raised.value).replace(f"VALUE = {VALUE!r}", "")

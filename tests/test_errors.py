"""Every error: one root, facts as attributes, and what to do next."""

import inspect

import pytest

from coatcheck import errors
from coatcheck.errors import (
    BackendError,
    CookieTooLarge,
    RecordTooLarge,
    ResponseStarted,
    SessionConflict,
    SessionDestroyed,
    SessionError,
    UnstorableValue,
)

ALL = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if not issubclass(found, Warning)
]


@pytest.mark.parametrize("error", ALL)
def test_one_class_catches_them_all(error: type[Exception]) -> None:
    """SessionError is the root."""
    assert issubclass(error, SessionError)
    assert error.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (ResponseStarted("set()"), {"change": "set()"}),
        (UnstorableValue("key", "why"), {"key": "key", "reason": "why"}),
        (RecordTooLarge(2, 1), {"size": 2, "limit": 1}),
        (CookieTooLarge("name", 2, 1), {"name": "name", "size": 2, "limit": 1}),
        (SessionConflict(7), {"attempts": 7}),
        (BackendError("Redis", "read"), {"server": "Redis", "doing": "read"}),
        (SessionDestroyed(), {}),
    ],
)
def test_facts_are_attributes_and_in_the_message(
    error: Exception, facts: dict[str, object]
) -> None:
    """A program reads the attributes, a person the message."""
    for name, fact in facts.items():
        assert getattr(error, name) == fact
        assert str(fact) in str(error)
    assert len(str(error)) > 30

"""
Faults for a test: time passes, or the server of a storage fails.

    with later(storage, 3600): ...     inside the block it is an hour later
    with failing(storage): ...         inside the block the server fails

Both change the storage object of the application, and its asynchronous form (`aio`).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import msgspec

from coatcheck.errors import BackendError, ConfigurationError
from coatcheck.storage.async_records import AsyncRecords
from coatcheck.storage.protocol import HasAwaitedForm, SessionStorage, powers_of
from coatcheck.storage.records import Records

READS, WRITES = ("get", "read"), ("swap", "delete", "save")
"""The methods of a backend, or of a storage without one, that call a server."""


@contextmanager
def later(storage: SessionStorage, seconds: float) -> Iterator[None]:
    """
    Return a context manager that moves the clock of a storage on while its block runs.

    Args:
        storage: A storage with a `clock`, such as those of `coatcheck.storage`.
        seconds: How far to move the clock.

    Raises:
        ConfigurationError: The storage has no `clock`.
    """
    forms = [form for form in _forms(storage) if hasattr(form, "clock")]
    if not forms:
        raise ConfigurationError(
            f"the storage must have a clock, got {type(storage).__name__} without one: give it the "
            "attribute `clock`, a function that returns seconds since 1970"
        )
    with ExitStack() as moved:
        for form in forms:
            clock = partial(_ahead, form.clock, seconds)
            moved.enter_context(_replaced(form, clock=clock))
            if isinstance(form, Records | AsyncRecords):
                space = msgspec.structs.replace(form.space, clock=clock)
                moved.enter_context(_replaced(form, space=space))
        yield


@contextmanager
def failing(storage: SessionStorage, *, reads: bool = True, writes: bool = True) -> Iterator[None]:
    """
    Return a context manager that lets the server of a storage fail with `BackendError`.

    A `CookieStorage` has no server, so it still works.

    Args:
        storage: The storage of the application.
        reads: Let the calls fail that read sessions.
        writes: Let the calls fail that write or delete sessions.
    """
    methods = [*(READS if reads else ()), *(WRITES if writes else ())]
    with ExitStack() as broken:
        for form in _forms(storage):
            owner = getattr(form, "backend", form)
            if owner is not form or powers_of(form).waits:
                failures = {name: _fails_to(name) for name in methods if hasattr(owner, name)}
                broken.enter_context(_replaced(owner, **failures))
        yield


def _forms(storage: SessionStorage) -> list[Any]:
    """Return the storage, and its asynchronous form if that is another object."""
    aio = storage.aio if isinstance(storage, HasAwaitedForm) else None
    return [form for form in (storage, aio) if form is not None]


def _ahead(clock: Any, seconds: float) -> float:
    now: float = clock()
    return now + seconds


def _fails_to(method: str) -> Any:
    doing = "read" if method in READS else "write"

    def fail(*_: object) -> None:
        raise BackendError("a server that this test lets fail", doing)

    return fail


@contextmanager
def _replaced(owner: object, **attributes: object) -> Iterator[None]:
    """Replace attributes of an object while the block runs."""
    before = {name: vars(owner)[name] for name in attributes if name in vars(owner)}
    for name, attribute in attributes.items():
        setattr(owner, name, attribute)
    try:
        yield
    finally:
        for name in attributes:
            if name in before:
                setattr(owner, name, before[name])
            else:
                delattr(owner, name)

"""
What a storage has to stand in a test: time that passes, a server that fails.

    with later(storage, 3600): ...     in there, an hour has passed
    with failing(storage): ...         in there, its server is down

The storage is the one that the application has, in both its forms.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import msgspec

from coatcheck.errors import BackendError, ConfigurationError
from coatcheck.storage.protocol import HasAwaitedForm, SessionStorage, powers_of
from coatcheck.storage.records import Records
from coatcheck.storage.records_async import AsyncRecords

READS, WRITES = ("get", "read"), ("swap", "delete", "save")
"""What a backend, or a storage without one, does with its server."""


@contextmanager
def later(storage: SessionStorage, seconds: float) -> Iterator[None]:
    """
    Let *seconds* pass for a storage, while the block runs.

    Raises:
        ConfigurationError: It has no `clock`.
    """
    forms = [form for form in _forms(storage) if hasattr(form, "clock")]
    if not forms:
        raise ConfigurationError(f"{type(storage).__name__} has no clock that could be moved")
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
    Let a storage's server fail with `BackendError`, while the block runs.

    Sessions in the cookie need no server, and go on.
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
    """Give an object other attributes of its own, while the block runs."""
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

"""
`coatcheck move OLD NEW`: move every living session from one storage to another, in small steps.

It takes the steps of `Migrating(OLD, NEW)`, which the application runs meanwhile: so both serve,
and no update and no sign-out is lost. The command may be stopped at any time. When it is started
again it goes on with what is left, because what was moved is no longer in the old storage. "Gone"
is what other requests moved or ended meanwhile, and what the old storage itself counts as expired.

Exit codes: 0 when nothing is left, 1 if records are left that other requests kept changing.
"""

import time
from typing import Any

import msgspec

from coatcheck._commands.output import Output
from coatcheck._commands.scanning import open_storage, scan
from coatcheck._session.record import GRACE
from coatcheck._session.values import CORRUPT
from coatcheck.errors import ConfigurationError
from coatcheck.storage import Migrating
from coatcheck.storage.migrating.backend import MigratingBackend
from coatcheck.storage.migrating.record_moves import InOld

ATTEMPTS = 10
"""Races for one record that the command may lose; the request that wins has moved it."""

RESTS = 1
"""The pause after a step, in multiples of the time that the step took."""

_SESSION, _EXPIRES, _OTHERS_EXPIRES = 0x03, 4, 1


def move(old_url: str, new_url: str, output: Output) -> int:
    """
    Move what lives, and return the exit code.

    Raises:
        ConfigurationError: A URL makes no sense, the old storage cannot list its sessions, or the
            new one encrypts what the old one keeps in clear.
        FileNotFoundError: There are no sessions at the path of the old storage.
        BackendError: A server failed.
    """
    if old_url == new_url:
        raise ConfigurationError("OLD and NEW must be two storages, got one URL twice")
    old, new = open_storage(old_url), open_storage(new_url, may_be_new=True)
    moved = {"moved": 0, "expired": 0, "gone": 0, "left": 0}
    try:
        backend = Migrating(old, new).backend
        assert isinstance(backend, MigratingBackend)  # noqa: S101 - both are plain
        if new.space.cipher and not old.space.cipher:
            raise ConfigurationError(
                "NEW encrypts with a key made from each session's id, which this command does not "
                "know: let Migrating(OLD, NEW) move the sessions as they are used"
            )
        with output.progress("moving the sessions") as show:
            for step in scan(old):
                begun = time.monotonic()
                for key in step.keys:
                    moved[_moved(backend, key.removeprefix(old.prefix))] += 1
                show(step.share)
                time.sleep(RESTS * (time.monotonic() - begun))
    finally:
        old.close()
        new.close()
    if output.as_json:
        output.value(moved)
    else:
        output.table(("sessions", "how many"), [(name, f"{n:,}") for name, n in moved.items()])
    return 1 if moved["left"] else 0


def _moved(backend: MigratingBackend, key: str) -> str:
    """Move one record, and return what became of it."""
    for _ in range(ATTEMPTS):
        stored = backend.get(key)
        if stored is None or not isinstance(stored.version, InOld):
            return "gone"
        left = _expiry(stored.record) - time.time()
        if left <= 0:
            return "expired"
        if backend.swap(key, stored.version, stored.record, left + GRACE) is None:
            return "moved"
    return "left"


def _expiry(record: bytes) -> float:
    """Return the deadline in a record of any kind; 0: it is none of ours."""
    try:
        fields: Any = msgspec.msgpack.decode(record[1:])
        return float(fields[_EXPIRES if record[0] == _SESSION else _OTHERS_EXPIRES])
    except (IndexError, TypeError, *CORRUPT):
        return 0.0

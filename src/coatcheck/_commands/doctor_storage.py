"""
`coatcheck doctor URL`: check the storage of a URL, as sessions use it.

It keeps a few records under keys of its own, for a minute at most, and removes them.
"""

import os
import re
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from threading import Barrier
from urllib.parse import urlsplit

from coatcheck._commands.checks import Check, State, write
from coatcheck._commands.doctor_server import DENIED, NO_TABLE, TTL, ask_server, codes_of, new_key
from coatcheck._commands.output import Output, reason_of
from coatcheck._commands.scanning import backend_of, open_storage
from coatcheck.errors import BackendError
from coatcheck.storage import KeyedStorage
from coatcheck.storage.backend import Refused

ROUNDS = 5
SLOW = 50.0
"""Milliseconds that a visitor feels."""

WRITES, READS_OR_WRITES = 0o022, 0o077
"""Permissions that other users should not have: in the folder of a database, and on the data."""

_ASKS_TLS = re.compile(r"\bssl(mode=(require|verify)|_ca=)")

LOCAL = frozenset({"", "localhost", "127.0.0.1", "::1"})


def doctor_storage(url: str, output: Output) -> int:
    """
    Write what was found about a storage, and return the exit code: 1 if something is wrong.

    Raises:
        ConfigurationError: The URL makes no sense.
        BackendError: The server cannot be reached.
    """
    storage = open_storage(url, may_be_new=True)
    try:
        backend_of(storage)
        return write(_checks(url, storage), output)
    finally:
        storage.close()


def _checks(url: str, storage: KeyedStorage) -> Iterator[Check]:
    try:
        yield _round_trip(storage)
    except BackendError as error:
        yield _unreadable(error, url)
        yield from ask_server(storage, without=("expiry",))
    else:
        kept = list(_keeps(storage))
        yield from kept
        if any(each.state == "fail" for each in kept):
            yield from ask_server(storage, without=("expiry",))
        else:
            yield _race(storage)
            yield from ask_server(storage)
    yield from _permissions(storage)
    yield from _tls(url)


def _unreadable(error: BackendError, url: str) -> Check:
    """Return the check of a database that has no table, or whose user may not read it."""
    codes = codes_of(error)
    if codes & NO_TABLE:
        if "create_table=yes" in url:
            return Check("info", "table", "there is none yet: the first request makes it")
        return Check("fail", "table", "there is none of sessions: add create_table=yes to the URL")
    if codes & DENIED:
        return Check("fail", "keeps a record", f"may not read: {reason_of(error)}")
    raise error


def _round_trip(storage: KeyedStorage) -> Check:
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        storage.backend.get(new_key(storage))
        times.append(time.perf_counter() - begun)
    taken = median(times) * 1000
    state: State = "ok" if taken < SLOW else "warn"
    return Check(state, "round trip", f"{taken:.2f} ms (the median of {ROUNDS} reads)")


def _keeps(storage: KeyedStorage) -> Iterator[Check]:
    """Write a record, replace it, and delete it."""
    key, backend = new_key(storage), storage.backend
    does = "write"
    try:
        backend.swap(key, None, b"\x00one", TTL)
        does = "read"
        found = backend.get(key)
        if found is None or found.record != b"\x00one":
            yield Check("fail", "keeps a record", "a record that was written is not there")
            return
        does = "replace"
        backend.swap(key, found.version, b"\x00two", TTL)
        does = "delete"
        backend.delete(key)
    except BackendError as error:
        yield Check("fail", "keeps a record", f"may not {does}: {reason_of(error)}")
        return
    gone = backend.get(key) is None
    yield Check(
        "ok" if gone else "fail",
        "keeps a record",
        "written, read, replaced and deleted" if gone else "a record that was deleted is there",
    )


def _race(storage: KeyedStorage) -> Check:
    """Let two writers replace one version at once: exactly one may win."""
    key, backend = new_key(storage), storage.backend
    both = Barrier(2)

    def write(record: bytes) -> Refused | None:
        both.wait(10)
        return backend.swap(key, version, record, TTL)

    try:
        backend.swap(key, None, b"\x00first", TTL)
        there = backend.get(key)
        version = there.version if there else None
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(write, (b"\x00a", b"\x00b")))
        backend.delete(key)
    except BackendError as error:
        return Check("fail", "two writers", reason_of(error))
    won = sum(answer is None for answer in answers)
    text = "one of two won" if won == 1 else f"{won} of two won: changes will be lost"
    return Check("ok" if won == 1 else "fail", "two writers", text)


def _permissions(storage: KeyedStorage) -> Iterator[Check]:
    """Look whether others on this machine can read what a storage in files keeps."""
    backend = backend_of(storage)
    path = getattr(backend, "_directory", None) or getattr(backend, "_path", None)
    if not isinstance(path, str | os.PathLike):
        return
    place = Path(path)
    for each in (place, place.parent) if place.is_file() else (place,):
        found = each.stat()
        unsafe = WRITES if each != place else READS_OR_WRITES
        open_to = stat.S_IMODE(found.st_mode) & unsafe
        text = f"{each.resolve().name}: {stat.filemode(found.st_mode)}"
        if open_to:
            yield Check("warn", "permissions", f"{text}: other users may use it; chmod go= it")
        elif found.st_uid != os.geteuid():
            yield Check("warn", "permissions", f"{text}: it belongs to another user")
        else:
            yield Check("ok", "permissions", text)


def _tls(url: str) -> Iterator[Check]:
    """Tell whether the way to a server on another machine is encrypted."""
    parts = urlsplit(url)
    if parts.scheme in ("sqlite", "file", "memory", "unix"):
        return
    if (parts.hostname or "") in LOCAL:
        yield Check("ok", "TLS", "the server is on this machine")
    elif parts.scheme.startswith("rediss") or _ASKS_TLS.search(parts.query):
        yield Check("ok", "TLS", "the URL asks for it")
    else:
        yield Check("warn", "TLS", "not asked for, and the server is on another machine")

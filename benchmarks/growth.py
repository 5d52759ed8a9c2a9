"""
How storages grow: a request's time and a session's space, from a thousand stored sessions on.

Sessions are stored as the storage itself would, but by the bare client where that is faster. Then
clients drawn from all of them come in turn. Times are of the whole request, application included.
"""

import gc
import os
import random
from collections.abc import Callable, Iterable
from multiprocessing import get_context
from pathlib import Path
from secrets import token_bytes
from statistics import median
from typing import Any

from benchmarks import storages, work
from benchmarks.cases import in_turn, sign_in
from benchmarks.measure import progress
from benchmarks.place import Place, place
from benchmarks.subjects import BARE, Subject, starlette

DRAWN = 2000
"""Clients that come, of all that have a session."""

FEWEST = 1000

Row = dict[str, Any]
Store = Callable[[list[str]], None]
"""Stores a session under each key."""


class Grown:
    """
    A storage that grows.

    Args:
        key: Which of `storages.OURS`.
        most: Sessions that it is grown to, at most.
        space: Returns the bytes that it takes.
    """

    def __init__(self, key: str, where: Place) -> None:
        self.key = key
        self.made = storages.made(key, where, sessions=2_000_000)
        self.store, self.space = MAKERS[key](self, where)
        self.ids: list[str] = []
        self.count = 0
        self._lot = random.Random(5)
        self.base = self.space()

    @property
    def record(self) -> bytes:
        """Return the record of a session, as the storage wrote it."""
        backend = getattr(self.made.storage, "backend", None)
        stored = _waited(backend.get(self.key_of(self._cookie_value)))
        return bytes(stored.record)

    def key_of(self, id: str) -> str:
        from coatcheck.storage.keys import key_of

        return key_of(id, self.made.storage.prefix)

    @property
    def _cookie_value(self) -> str:
        if not hasattr(self, "_value"):
            cookie = sign_in(self.made.subject, 1)
            self._value = self.made.cookie.parse(cookie) or ""
        return self._value

    def grow(self, count: int) -> None:
        """Store sessions until there are so many."""
        from coatcheck.ids import new_id

        while self.count < count:
            ids = [new_id() for _ in range(min(1000, count - self.count))]
            self.store([self.key_of(id) for id in ids])
            for id in ids:
                self._draw(id)
            progress(f"{self.key}: {self.count:,} sessions")

    def _draw(self, id: str) -> None:
        """Keep it, or not, so that those kept are drawn from all evenly."""
        self.count += 1
        if len(self.ids) < DRAWN:
            self.ids.append(id)
        elif (place := self._lot.randrange(self.count)) < DRAWN:
            self.ids[place] = id

    def row(self, batches: int) -> Row:
        """Measure what a request takes now."""
        self._lot.shuffle(self.ids)
        cookies = [self.made.cookie.serialize(id).partition(";")[0] for id in self.ids]
        gc.unfreeze()
        gc.collect()
        each = max(1, (self.space() - self.base) // self.count)
        return {
            "storage": self.key,
            "sessions": self.count,
            "bytes": each,
            **times(self.made.subject, cookies, batches),
        }


def times(subject: Subject, cookies: list[str], batches: int) -> Row:
    """Return the microseconds of a whole request that reads, and of one that writes."""
    found = {}
    for name, handler in (("W2", "read"), ("W3", "write")):
        batch = in_turn(subject.make(handler), BARE.driver, list(cookies))
        batch(50)
        took = [batch(200) / 200 / 1000 for _ in range(batches)]
        found[name] = round(median(took), 2)
    return found


def run(most: int, *, batches: int) -> list[Row]:
    """Grow each storage to *most* sessions, tenfold each time; return a row for each step."""
    rows: list[Row] = []
    for key in MAKERS:
        # In a process of its own, whose memory holds nothing else.
        with get_context("spawn").Pool(1) as pool:
            rows += pool.apply(_grown, (key, most, batches))
    progress("")
    return rows


def _grown(key: str, most: int, batches: int) -> list[Row]:
    rows = []
    with place() as where:
        grown = Grown(key, where)
        count = FEWEST
        while count <= min(most, MOST.get(key, most)):
            grown.grow(count)
            rows.append(grown.row(batches))
            count *= 10
        grown.made.close()
    return rows


SIZES = (100, 1000, 10_000, 100_000)
COOKIE_SIZES = (100, 1000, 2500)
"""Bytes of sessions; a browser keeps no more than 4096 of a cookie."""


def sizes(*, batches: int) -> list[Row]:
    """Return a row for each storage and size of a session."""
    rows = []
    with place() as where:
        for key in ("starlette", *storages.OURS):
            made = None if key == "starlette" else storages.made(key, where)
            subject = starlette() if made is None else made.subject
            small = key in ("starlette", "cookie", "encrypted")
            for size in COOKIE_SIZES if small else SIZES:
                progress(f"{key}: sessions of {size:,} bytes")
                cookies = [_sign_in_with(subject, client, size) for client in range(20)]
                rows.append({"storage": key, "size": size, **times(subject, cookies, batches)})
            if made:
                made.close()
    progress("")
    return rows


def _sign_in_with(subject: Subject, client: int, size: int) -> str:
    """Return the cookie of a client whose session is of about *size* bytes."""
    line = {"sku": "coat-1234", "n": 2, "price": 129.5}  # 42 bytes
    work.filling.clear()
    work.filling.update({"user_id": client, "n": 100_000, "cart": [line] * ((size - 40) // 42)})
    cookie = subject.driver.ask(subject.make("fill"), None).cookie
    if cookie is None:
        raise AssertionError(f"{subject.name}: gave no cookie")
    return cookie


def _waited(found: Any) -> Any:
    from benchmarks.loop import wait

    return wait(found) if hasattr(found, "__await__") else found


def _by_backend(grown: Grown) -> Store:
    backend, record = grown.made.storage.backend, grown.record

    def store(keys: list[str]) -> None:
        for key in keys:
            backend.swap(key, None, bytes(bytearray(record)), work.LIFE)

    return store


def _memory(grown: Grown, _: Place) -> tuple[Store, Callable[[], int]]:
    return _by_backend(grown), _resident


def _sqlite(grown: Grown, where: Place) -> tuple[Store, Callable[[], int]]:
    return _by_backend(grown), lambda: _on_disk((where.folder / "coatcheck").iterdir())


def _files(grown: Grown, where: Place) -> tuple[Store, Callable[[], int]]:
    return _by_backend(grown), lambda: _on_disk((where.folder / "files").rglob("*"))


def _redis(grown: Grown, where: Place) -> tuple[Store, Callable[[], int]]:
    from redis import Redis

    client, record = Redis(unix_socket_path=where.server("redis")), grown.record

    def store(keys: list[str]) -> None:
        from coatcheck.storage.redis import MARK

        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.set(key, token_bytes(MARK) + record, px=work.LIFE * 1000)
        pipeline.execute()

    return store, lambda: int(client.info("memory")["used_memory"])


def _memcached(grown: Grown, where: Place) -> tuple[Store, Callable[[], int]]:
    from pymemcache import Client

    client, record = Client(where.server("memcached")), grown.record

    def store(keys: list[str]) -> None:
        client.set_many(dict.fromkeys(keys, record), expire=work.LIFE, noreply=True)

    return store, lambda: int(client.stats()[b"bytes"])


MAKERS: dict[str, Callable[[Grown, Place], tuple[Store, Callable[[], int]]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "files": _files,
    "redis": _redis,
    "memcached": _memcached,
}

MOST = {"files": 100_000}
"""A million files are more than many disks have room for: each takes a block of 4096 bytes."""


def _resident() -> int:
    """Return the bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _on_disk(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_blocks * 512 for path in paths if path.is_file())

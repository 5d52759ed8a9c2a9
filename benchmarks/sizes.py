"""A request's time by the size of its session, which is of 20 clients in turn."""

from benchmarks import storages, work
from benchmarks.growth import Row, times
from benchmarks.measure import progress
from benchmarks.place import place
from benchmarks.subjects import Subject, starlette

SIZES = (100, 1000, 10_000, 100_000)
COOKIE_SIZES = (100, 1000, 2500)
"""Bytes of sessions; a browser keeps no more than 4096 of a cookie."""


def run(*, batches: int) -> list[Row]:
    """Return a row for each storage and size of a session."""
    rows = []
    with place() as where:
        for key in ("starlette", *filter(storages.can_be_made, storages.OURS)):
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

"""
Where the time of one request goes: W2 and W3 with a signed cookie that holds the session.

    .venv-bench/bin/python -m benchmarks.stages

Each stage is called alone, in a tight loop, and the best of several runs counts. Together they take
less than the request does, which also finds its data in slower memory.
"""

import sys
import timeit
from collections.abc import Callable
from time import time

from benchmarks import work
from coatcheck import Cookie, Session
from coatcheck._cookie.base64url import pack_base64url, unpack_base64url
from coatcheck._cookie.headers import amended, escape
from coatcheck._request.cycle import Cycle
from coatcheck._session import in_cookie, lifecycle
from coatcheck._session.draft import Carried
from coatcheck._session.ids import ID_BYTES, ID_LENGTH
from coatcheck._session.record import Record, pack, unpack
from coatcheck.storage import CookieStorage

SECRET = "a secret of more than thirty-two characters"
CALLS, RUNS = 5000, 15


def best(stage: Callable[[], object]) -> float:
    """Return the microseconds of one call."""
    return min(timeit.repeat(stage, number=CALLS, repeat=RUNS)) / CALLS * 1e6


def stages() -> dict[str, Callable[[], object]]:
    """Return each stage of a request, by what it does."""
    cookie = Cookie("session", secrets=[SECRET])
    storage = CookieStorage()
    cycle = Cycle(cookie, storage)
    first = storage.read(None)
    first.update(work.data_of(0))
    value = storage.save(first) or ""
    header = cookie.serialize(value).partition(";")[0]
    sealed, packed = header.partition("=")[2], unpack_base64url(value) or b""
    record = unpack(packed, b"", ID_BYTES)
    assert isinstance(record, Record)
    key = next(iter(record.body.values))

    def session() -> Session:
        return lifecycle.found(Carried(record, value[:ID_LENGTH], None, time()))

    def changed() -> Session:
        written = session()
        written["n"] = 1
        return written

    read = lifecycle.admit(session(), cycle.terms, visitor=cycle.visitor)
    return {
        "find the cookie in its header": lambda: cookie._finder.values(header),
        "verify its signature": lambda: cookie._seal.open(sealed),
        "base64 to bytes": lambda: unpack_base64url(value),
        "bytes to a record": lambda: unpack(packed, b"", ID_BYTES),
        "make session and draft": session,
        "admit them": lambda: lifecycle.admit(read, cycle.terms, visitor=cycle.visitor),
        "read one key": lambda: read.get(key),
        "decide whether to save": lambda: lifecycle.is_pending(read),
        "headers of a response": lambda: amended([(b"content-type", b"text/plain")], ()),
        "W3: set one key": changed,
        "W3: that, and the next record": lambda: in_cookie.carry(changed(), time()),
        "W3: record to bytes": lambda: pack(record),
        "W3: bytes to base64": lambda: pack_base64url(packed),
        "W3: escape, sign, write Set-Cookie": lambda: cookie.serialize(value),
        "W3: of that, escape": lambda: escape(value),
    }


def main() -> None:
    """Print a table."""
    rows = [f"| {name} | {best(stage):.2f} |\n" for name, stage in stages().items()]
    sys.stdout.writelines(["| stage | µs |\n", "| --- | --- |\n", *rows])


if __name__ == "__main__":
    main()

"""
The work that is measured, the same for every subject.

    W1  no cookie, the session is not touched
    W2  a valid cookie, one key is read
    W3  one key is read and one is set, to another value each time, so that it is really written
    W4  a cookie that was tampered with, one key is read

W2 and W3 come from one client that comes back (warm) and from many different ones in turn (cold). A
client that comes back sends the cookie it was given last.

A session is 200 bytes of mixed values, as compact JSON.
"""

from itertools import count
from typing import Any

SECRET = "a secret of more than thirty-two characters"
DAY = 24 * 3600
LIFE = 14 * DAY
"""Seconds that a session lives, in every subject."""

WORKS = {
    "W1": "untouched",
    "W2 warm": "read",
    "W2 cold": "read",
    "W3 warm": "write",
    "W3 cold": "write",
    "W4": "read",
}
"""Each work, and what its handler does."""

HANDLERS = ("untouched", "read", "write", "fill", "show")
"""What handlers do; the last two prepare and check, and are never timed."""

numbers = count(200_000)
"""What W3 writes: of one width, and never twice the same."""

filling: dict[str, Any] = {}
"""What the next "fill" puts into its session."""


def data_of(client: int) -> dict[str, Any]:
    """Return the session of a client."""
    return {
        "user_id": 100_000 + client,
        "name": "Ada Lovelace",
        "staff": True,
        "theme": None,
        "roles": ["admin", "editor"],
        "csrf": f"{client:019}",
        "cart": [{"sku": "coat-1", "n": 2, "price": 129.5}],
        "seen": 1700000000.25,
        "n": 100_000,
    }


def tampered(cookie: str) -> str:
    """Return "name=value" with one character in the middle of its value changed."""
    place = (cookie.index("=") + len(cookie)) // 2
    while not cookie[place].isalnum():
        place += 1
    return f"{cookie[:place]}{'A' if cookie[place] != 'A' else 'B'}{cookie[place + 1 :]}"

"""
`coatcheck stats URL`: count the sessions of a storage.

It reads every record once, in small steps, and shows a bar. It changes nothing.
"""

import time
from typing import Any

from coatcheck._commands.output import Output
from coatcheck._commands.scanning import open_storage, scan
from coatcheck._session import roster
from coatcheck._session.ids import TAG_BYTES
from coatcheck._session.record import Marker, Record, Tombstone, Unreadable, is_encrypted, unpack

KINDS = ("living", "expired", "markers", "tombstones", "lists", "encrypted", "others")


def stats(url: str, output: Output) -> int:
    """
    Write how many sessions there are, and return the exit code.

    Raises:
        ConfigurationError: The URL makes no sense, or the storage cannot list its sessions.
        BackendError: The server failed.
    """
    storage = open_storage(url)
    counted: dict[str, Any] = {**dict.fromkeys(KINDS, 0), "records": 0, "bytes": 0, "largest": 0}
    users: set[str] = set()
    now = time.time()
    try:
        with output.progress("looking at the records") as show:
            for step in scan(storage):
                for record in step.records:
                    _count(counted, users, record, now)
                show(step.share)
    finally:
        storage.close()
    counted["users"] = len(users)
    if output.as_json:
        output.value(counted)
    else:
        rows = [(name, f"{number:,}") for name, number in counted.items()]
        output.table(("what", "how many"), rows)
    return 0


def _count(counted: dict[str, Any], users: set[str], data: bytes, now: float) -> None:
    counted["records"] += 1
    counted["bytes"] += len(data)
    counted["largest"] = max(counted["largest"], len(data))
    kind, user = _kind_of(data, now)
    counted[kind] += 1
    if user is not None:
        users.add(user)


def _kind_of(data: bytes, now: float) -> tuple[str, str | None]:
    """Return what a record is, and its user."""
    if is_encrypted(data):
        return "encrypted", None
    if data.startswith(roster.KIND):
        return "lists", None
    try:
        kept = unpack(data, _tag_in(data))
    except (Unreadable, ValueError):
        return "others", None
    if isinstance(kept, Marker):
        return "markers", None
    if isinstance(kept, Tombstone):
        return "tombstones", None
    if not isinstance(kept, Record):
        return "others", None
    who = kept.body.who
    user = None if who is None else who.account
    return ("living", user) if now < kept.expires else ("expired", None)


def _tag_in(data: bytes) -> bytes:
    """Return the tag that a record carries: it stands behind two bytes of MessagePack."""
    start = 4
    return data[start : start + TAG_BYTES]

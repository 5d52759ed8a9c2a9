"""
What a storage is asked to do: one write. `lifecycle` makes plans, storages carry them out.

Pure: no I/O.
"""

import msgspec

from coatcheck._session.ids import new_id
from coatcheck._session.record import Record, reveal_nothing


class Plan(msgspec.Struct, frozen=True):
    """
    One write that carries a session's changes out.

    Args:
        record: What is to be kept, and `data`, the same as bytes.
        ttl: Seconds until its deadline.
        id: Under which it is to lie.
        lies: The id under which the session lies now; None: nowhere yet.
        version: Of what lies there; None: unknown.
        claims: The id is a new one, which nobody may have yet. What lies under the old one then
            becomes a `marker`, unless it `keeps_old`.
        renews: The cookie is due anew, although the id stays.
        steps: How many changes of the log it carries; a handler may go on while it is written.
    """

    __repr__ = reveal_nothing

    record: Record
    data: bytes
    ttl: float
    id: str
    lies: str | None
    version: object
    claims: bool
    keeps_old: bool
    renews: bool
    steps: int


def renamed(plan: Plan) -> Plan:
    """Return the plan under another id: somebody has the one it was to claim."""
    return msgspec.structs.replace(plan, id=new_id())

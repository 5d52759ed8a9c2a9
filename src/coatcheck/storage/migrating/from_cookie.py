"""
Written by scripts/twins from src/coatcheck/storage/migrating/async_from_cookie.py: change that.

From cookies to a server: a session moves with its first write, and no visitor is signed out.

A session that a cookie carries lives there until the server knows its id. The first write claims
that id on the server, with what the cookie carried and the changes of the request, so requests that
bring copies of one cookie meet in one record. From then on the cookie carries the id alone.

A cookie can be copied, and a copy reads as a session until its deadline. So a tombstone or a marker
stays on the server for as long as a copy of that session could live.

`from_cookie` is the same text without `async` and `await`, written by `scripts/twins`.
"""

import msgspec

from coatcheck._session import lifecycle
from coatcheck._session.ids import ID_LENGTH
from coatcheck._session.session import Session
from coatcheck.storage.cookie import CookieStorage, carries_session
from coatcheck.storage.keyed import KeyedStorage
from coatcheck.storage.revocable import RevocableStorage


class FromCookie(KeyedStorage):
    """
    The sessions of *new*, and those that cookies of *old* still carry.

    Args:
        old: Reads a cookie; it may know which sign-ins are over.
    """

    def __init__(self, old: CookieStorage | RevocableStorage, new: KeyedStorage) -> None:
        super().__init__(new.backend, prefix=new.prefix, clock=new.clock)
        self.powers = new.powers
        self.space = msgspec.structs.replace(new.space, copies=True)
        self.old, self.new = old, new

    def read(self, value: str | None) -> Session:
        if value is None or not carries_session(value):
            return super().read(value)
        id = value[:ID_LENGTH]
        key = self.space.key(id)
        stored = self.backend.get(key)
        if stored is None:
            return self.old.read(value)
        return self._carry_out(lifecycle.follow(self.space.there(stored, key, id), self.space))

    def sweep(self, limit: int = 1000) -> int:
        return self.new.sweep(limit)

    def close(self) -> None:
        self.new.close()

"""
Sessions of the package starsessions, in the cookie or in Redis.

    cookie    as Starlette's own, with __metadata__ inside the JSON
    Redis     "starsessions." + id, JSON with __metadata__ inside

__metadata__ holds lifetime, created and last_access. In Redis the time to live alone ends a
session: with `rolling=True` a visit renews that, so `created` + `lifetime` may be past. In a cookie
the lifetime counts from the signature.

Source: https://github.com/alex-oleshkevich/starsessions/tree/master/starsessions
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from coatcheck.adopt.reader import Found, Reader, Search, Secret, checked_secrets
from coatcheck.adopt.refused import Refused
from coatcheck.adopt.starlette import LABEL, SALT
from coatcheck.adopt.stores import store_of
from coatcheck.adopt.texts import as_dict, as_time, bare, from_base64, json_object
from coatcheck.adopt.timed import opened, sha1_keys

METADATA = "__metadata__"

DEFAULT_AGE = 14 * 24 * 3600

WHILE_OPEN = 360 * 24 * 3600
"""Seconds that the package takes a cookie without Max-Age."""

_is_id = re.compile(r"[A-Za-z0-9_-]{16,256}").fullmatch


class Starsessions(Reader):
    """
    Reads the sessions of starsessions.

    Args:
        client: Of Redis, plain or awaited; None: the session is in the cookie (`CookieStore`).
        prefix: `prefix` of the `RedisStore`.
        secrets: `secret_key` of the `CookieStore`, the one of today first.
        name: `cookie_name`.
        take: Delete the record once its session is adopted.
        max_age: Seconds, or a timedelta, for which a cookie is taken; None: as the session in it
            says, else 14 days.
        path: `cookie_path`, so that the cookie can be removed.
        domain: `cookie_domain`, for the same.
        until: When this reader stops: a date (its midnight in UTC) or an aware datetime.
        keep_cookie: Leave the cookie in the browser until the session is signed out, so that
            the package could serve again.

    Raises:
        ConfigurationError: An argument is of another kind.
    """

    own_keys = frozenset({METADATA})
    keeps_end = True

    def __init__(
        self,
        client: Any = None,
        *,
        prefix: str = "starsessions.",
        secrets: Sequence[Secret] = (),
        name: str = "session",
        take: bool = False,
        max_age: float | timedelta | None = None,
        path: str | None = "/",
        domain: str | None = None,
        until: date | None = None,
        keep_cookie: bool = False,
    ) -> None:
        super().__init__(
            name=name,
            path=path,
            domain=domain,
            until=until,
            max_age=max_age,
            store=None if client is None else store_of(client),
            take=take,
            keep_cookie=keep_cookie,
        )
        self._prefix = prefix
        self._keys = sha1_keys(checked_secrets(secrets, needed=client is None), SALT)

    @property
    def label(self) -> bytes:  # type: ignore[override] # it depends on where the session is
        """A cookie is Starlette's, too; an id is another thing."""
        return LABEL if self.store is None else b"starsessions"

    def search(self, cookies: Mapping[str, str], now: float) -> Search:
        """Return what the cookie holds, or what its id leads to."""
        if self.name not in cookies:
            return None
        if self.store is None:
            return self._signed(cookies[self.name])
        id = bare(cookies[self.name])
        if not _is_id(id):
            raise Refused("damaged")
        row = yield self._prefix + id
        if row is None:
            raise Refused("gone", self.digest(id.encode()))
        values = json_object(row.data)
        created = _metadata(values).get("created")
        at = None if created is None else as_time(created)
        return Found(values, id.encode(), at, row.ends(now))

    def _signed(self, value: str) -> Found:
        timed = opened(value, self._keys)
        values = json_object(from_base64(timed.payload))
        lifetime = _metadata(values).get("lifetime")
        seconds = DEFAULT_AGE if lifetime is None else as_time(lifetime) or WHILE_OPEN
        if self.max_age is not None:
            seconds = min(seconds, self.max_age)
        return Found(values, timed.signed, timed.signed_at, timed.signed_at + seconds)


def _metadata(values: dict[str, Any]) -> dict[str, Any]:
    return as_dict(values.get(METADATA, {}))

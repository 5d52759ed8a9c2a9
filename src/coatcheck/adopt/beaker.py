"""
Beaker's sessions with `data_serializer = json`, in the cookie or in Redis.

    cookie    hex(HMAC-SHA1(validate_key, rest)) + rest, rest = base64(zlib(JSON))
    Redis     cookie: hex(HMAC-SHA1(secret, id)) + id, or the bare id; "beaker_cache:" + id +
              ":session": a pickle of one text, base64(zlib(JSON))

A session ends `timeout` seconds after its last use, and never if there is no timeout. Encrypted
cookies and sessions that are pickles inside are refused.

Source: https://github.com/bbangert/beaker/blob/master/beaker/session.py
"""

import re
from binascii import unhexlify
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from coatcheck.adopt.plain_pickle import read_pickle
from coatcheck.adopt.reader import AHEAD, Found, Reader, Search, Secret, checked_secrets
from coatcheck.adopt.refused import Refused
from coatcheck.adopt.stores import store_of
from coatcheck.adopt.texts import as_time, bare, check_mac, from_base64, inflated, json_object

_MAC = 40
"""Characters of a signature."""

_is_id = re.compile(r"[A-Za-z0-9_.-]{16,128}").fullmatch


class Beaker(Reader):
    """
    Reads the sessions of Beaker, which Pyramid, Pylons and Bottle use.

    Args:
        client: Of Redis, plain or awaited (`type = ext:redis`); None: the session is in the cookie
            (`type = cookie`).
        prefix: Of the records in Redis.
        secrets: `validate_key` of a cookie, or `secret`, the one of today first. Without any, the
            cookie for a server is a bare id.
        name: `key`.
        take: Delete the record once its session is adopted.
        max_age: `timeout`, in seconds or as a timedelta; None: no limit, so that `until` is needed
            for sessions in the cookie.
        path: `cookie_path`, so that the cookie can be removed.
        domain: `cookie_domain`, for the same.
        until: When this reader stops: a date (its midnight in UTC) or an aware datetime.
        keep_cookie: Leave the cookie in the browser until the session is signed out, so that
            the package could serve again.

    Raises:
        ConfigurationError: An argument is of another kind.
    """

    label = b"beaker"
    own_keys = frozenset({"_accessed_time", "_creation_time", "_domain", "_path", "_id"})

    def __init__(
        self,
        client: Any = None,
        *,
        prefix: str = "beaker_cache:",
        secrets: Sequence[Secret] = (),
        name: str = "beaker.session.id",
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
        self._keys = checked_secrets(secrets, needed=client is None)

    def search(self, cookies: Mapping[str, str], now: float) -> Search:
        """Return what the cookie holds, or what its id leads to."""
        if self.name not in cookies:
            return None
        value = bare(cookies[self.name])
        rest = self._verified(value) if self._keys else value
        if self.store is None:
            return self._found(rest, rest.encode(), None, now)
        if not _is_id(rest):
            raise Refused("damaged")
        row = yield f"{self._prefix}{rest}:session"
        if row is None:
            raise Refused("gone", self.digest(rest.encode()))
        packed = read_pickle(row.data)
        if not isinstance(packed, str | bytes):
            raise Refused("unsupported")
        return self._found(packed, rest.encode(), row.ends(now), now)

    def _verified(self, value: str) -> str:
        mac, rest = value[:_MAC], value[_MAC:]
        if mac != mac.lower():
            raise Refused("seal")
        check_mac(self._keys, rest.encode(), unhexlify(mac), "sha1")
        return rest

    def _found(
        self, packed: str | bytes, verified: bytes, expires: float | None, now: float
    ) -> Found:
        values = json_object(inflated(from_base64(packed)))
        created = as_time(values.get("_creation_time"))
        used = as_time(values.get("_accessed_time"))
        if used > now + AHEAD:
            raise Refused("future")
        ends = [end for end in (expires, self.aged(used)) if end is not None]
        return Found(values, verified, created, min(ends, default=None))

"""
Sessions of the package aiohttp-session, in the cookie or in Redis.

    cookie    a Fernet token of JSON {"created": …, "session": {…}}; in double quotes if it ends
              in "="
    Redis     NAME + "_" + id, the same JSON

A Fernet token is base64url of 0x80, the time, an IV, AES-128-CBC and HMAC-SHA256. Without
`max_age` a cookie has no end.

Source: https://github.com/aio-libs/aiohttp-session/tree/master/aiohttp_session and
https://github.com/fernet/spec/blob/master/Spec.md
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from coatcheck.adopt import ciphers
from coatcheck.adopt.reader import AHEAD, Found, Reader, Search, Secret, checked_secrets
from coatcheck.adopt.refused import Refused
from coatcheck.adopt.stores import store_of
from coatcheck.adopt.texts import (
    as_dict,
    as_time,
    bare,
    check_mac,
    from_base64url,
    from_json,
    json_object,
)
from coatcheck.errors import ConfigurationError

KEY = 32
"""Bytes of a key: half of them sign, half encrypt."""

_VERSION, _IV_AT, _DATA_AT, _MAC = b"\x80", 9, 25, 32

_is_id = re.compile(r"[A-Za-z0-9_-]{16,256}").fullmatch


class AiohttpSession(Reader):
    """
    Reads the sessions of aiohttp-session.

    Args:
        client: Of Redis, plain or awaited; None: the session is in the cookie
            (`EncryptedCookieStorage`; extra `coatcheck[encrypt]`).
        prefix: Of the records; None: the cookie's name and "_".
        secrets: `secret_key` of the cookie storage, the one of today first: 32 raw bytes, or
            Fernet's text of them.
        name: `cookie_name`.
        take: Delete the record once its session is adopted.
        max_age: `max_age`, in seconds or as a timedelta; None: no limit, so `until` is needed.
        path: `path`, so that the cookie can be removed.
        domain: `domain`, for the same.
        until: When this reader stops: a date (its midnight in UTC) or an aware datetime.
        keep_cookie: Leave the cookie in the browser until the session is signed out, so that
            the package could serve again.

    Raises:
        ConfigurationError: An argument is of another kind.
    """

    label = b"aiohttp-session"

    def __init__(
        self,
        client: Any = None,
        *,
        prefix: str | None = None,
        secrets: Sequence[Secret] = (),
        name: str = "AIOHTTP_SESSION",
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
        self._prefix = f"{name}_" if prefix is None else prefix
        self._keys = list(map(_key, checked_secrets(secrets, needed=client is None)))
        if client is None:
            ciphers.check_installed()

    def search(self, cookies: Mapping[str, str], now: float) -> Search:
        """Return what the cookie holds, or what its id leads to."""
        if self.name not in cookies:
            return None
        if self.store is None:
            return self._decrypted(bare(cookies[self.name]), now)
        id = bare(cookies[self.name])
        if not _is_id(id):
            raise Refused("damaged")
        row = yield self._prefix + id
        if row is None:
            raise Refused("gone", self.digest(id.encode()))
        values, created = _opened(from_json(row.data))
        ends = [end for end in (row.ends(now), self.aged(created)) if end is not None]
        return Found(values, id.encode(), created, min(ends, default=None))

    def _decrypted(self, text: str, now: float) -> Found:
        token = from_base64url(text.rstrip("="))
        if len(text) % 4 or text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4) != text:
            raise Refused("damaged")
        signed, mac = token[:-_MAC], token[-_MAC:]
        if signed[:1] != _VERSION or len(signed) <= _DATA_AT:
            raise Refused("damaged")
        signing = check_mac([key[:16] for key in self._keys], signed, mac, "sha256")
        key = next(key[16:] for key in self._keys if key[:16] == signing)
        clear = ciphers.open_cbc(key, signed[_IV_AT:_DATA_AT], signed[_DATA_AT:])
        if clear is None:
            raise Refused("damaged")
        signed_at = float(int.from_bytes(signed[1:_IV_AT], "big"))
        if signed_at > now + AHEAD:
            raise Refused("future")
        values, created = _opened(json_object(clear))
        return Found(values, signed, created, self.aged(min(created, signed_at)))


def _opened(found: Any) -> tuple[dict[str, Any], float]:
    """Return the values of a record, and when it was made."""
    record = as_dict(found)
    return as_dict(record.get("session")), as_time(record.get("created"))


def _key(secret: bytes) -> bytes:
    """Return the 32 bytes of a key."""
    if len(secret) == KEY:
        return secret
    try:
        key = urlsafe_b64decode(secret)
    except ValueError:
        key = b""
    if len(key) != KEY:
        raise ConfigurationError(
            "secrets of aiohttp-session must have 32 bytes each, or be Fernet's text of them"
        )
    return key

"""
Sessions of Node's express-session with connect-redis, and of cookie-session.

    express-session    percent-encoded "s:" + id + "." + base64(HMAC-SHA256(secret, id)), unpadded;
                       Redis: "sess:" + id, JSON with the cookie's attributes under "cookie"
    cookie-session     NAME = base64(JSON), NAME.sig = base64url(HMAC-SHA1(key, "NAME=" + value))

A visit renews the time to live of a record, and not `cookie.expires` inside it, so that may be
past. A cookie of cookie-session holds no time: it is valid for ever.

Source: https://github.com/expressjs/session, https://github.com/tj/connect-redis,
https://github.com/expressjs/cookie-session and https://github.com/crypto-utils/keygrip
"""

import hmac
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from coatcheck.adopt.reader import Found, Reader, Search, Secret, checked_secrets
from coatcheck.adopt.refused import Refused
from coatcheck.adopt.stores import store_of
from coatcheck.adopt.texts import (
    bare,
    check_mac,
    from_base64,
    from_base64url,
    from_percent,
    json_object,
)

_is_id = re.compile(r"[!-~]{8,256}").fullmatch


class Express(Reader):
    """
    Reads the sessions of express-session in Redis.

    Args:
        client: Of Redis, plain or awaited.
        secrets: `secret`, the one of today first.
        prefix: `prefix` of connect-redis.
        name: `name`.
        take: Delete the record once its session is adopted.
        path: `cookie.path`, so that the cookie can be removed.
        domain: `cookie.domain`, for the same.
        until: When this reader stops: a date (its midnight in UTC) or an aware datetime.
        keep_cookie: Leave the cookie in the browser until the session is signed out, so that
            the package could serve again.

    Raises:
        ConfigurationError: An argument is of another kind.
    """

    label = b"express-session"
    own_keys = frozenset({"cookie"})

    def __init__(
        self,
        client: Any,
        *,
        secrets: Sequence[Secret],
        prefix: str = "sess:",
        name: str = "connect.sid",
        take: bool = False,
        path: str | None = "/",
        domain: str | None = None,
        until: date | None = None,
        keep_cookie: bool = False,
    ) -> None:
        store = store_of(client)
        super().__init__(
            name=name,
            path=path,
            domain=domain,
            until=until,
            store=store,
            take=take,
            keep_cookie=keep_cookie,
        )
        self._prefix = prefix
        self._keys = checked_secrets(secrets)

    def search(self, cookies: Mapping[str, str], now: float) -> Search:
        """Return the record that the cookie's id leads to."""
        if self.name not in cookies:
            return None
        text = from_percent(bare(cookies[self.name]))
        if not text.startswith("s:"):
            raise Refused("seal")
        id, _, given = text[2:].rpartition(".")
        if not any(hmac.compare_digest(_signature(key, id), given.encode()) for key in self._keys):
            raise Refused("seal")
        if not _is_id(id):
            raise Refused("damaged")
        row = yield self._prefix + id
        if row is None:
            raise Refused("gone", self.digest(id.encode()))
        return Found(json_object(row.data), id.encode(), None, row.ends(now))


class CookieSession(Reader):
    """
    Reads the cookies of Node's cookie-session.

    Args:
        secrets: `keys`, the one of today first.
        name: `name`.
        path: `path`, so that the cookies can be removed.
        domain: `domain`, for the same.
        until: When this reader stops: a date (its midnight in UTC) or an aware datetime. A session
            middleware demands it, because these cookies have no end.
        keep_cookie: Leave the cookie in the browser until the session is signed out, so that
            the package could serve again.

    Raises:
        ConfigurationError: An argument is of another kind.
    """

    label = b"cookie-session"

    def __init__(
        self,
        *,
        secrets: Sequence[Secret],
        name: str = "session",
        path: str | None = "/",
        domain: str | None = None,
        until: date | None = None,
        keep_cookie: bool = False,
    ) -> None:
        super().__init__(name=name, path=path, domain=domain, until=until, keep_cookie=keep_cookie)
        self._keys = checked_secrets(secrets)

    def names(self, cookies: Iterable[str]) -> list[str]:
        """Return the names of the cookie and of its signature."""
        return [name for name in cookies if name in (self.name, f"{self.name}.sig")]

    def search(self, cookies: Mapping[str, str], now: float) -> Search:  # noqa: ARG002
        """Return what the signed cookie holds."""
        yield from ()
        if self.name not in cookies:
            return None
        value = bare(cookies[self.name])
        signed = f"{self.name}={value}".encode()
        mac = from_base64url(bare(cookies.get(f"{self.name}.sig", "")))
        check_mac(self._keys, signed, mac, "sha1")
        return Found(json_object(from_base64(value)), signed)


def _signature(key: bytes, id: str) -> bytes:
    return b64encode(hmac.digest(key, id.encode(), "sha256")).rstrip(b"=")

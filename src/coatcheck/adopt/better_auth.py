"""
Cookies of better-auth with its cookie cache.

    NAME.session_token    percent-encoded: token . base64(HMAC-SHA256(secret, token))
    NAME.session_data     base64url of JSON {session, expiresAt in ms, signature}

The signature is base64url(HMAC-SHA256(secret, JSON.stringify({...session, expiresAt}))). The data
lives for minutes and is only read beside the token that it belongs to: alone it would outlive a
sign-out. A token without data is refused, because its session is in the application's own tables.

Source: https://github.com/better-auth/better-auth/tree/main/packages/better-auth/src/cookies
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from coatcheck.adopt.reader import Found, Reader, Search, Secret, checked_secrets
from coatcheck.adopt.refused import Refused
from coatcheck.adopt.texts import (
    as_dict,
    bare,
    check_mac,
    from_base64,
    from_base64url,
    from_percent,
    json_object,
)


class BetterAuth(Reader):
    """
    Reads the cookies of better-auth, while its cookie cache is valid.

    Args:
        secrets: `BETTER_AUTH_SECRET`, the one of today first.
        name: What both cookies' names begin with, "__Secure-" included where they have that.
        path: Of the cookies, so that they can be removed.
        domain: The same.
        until: When this reader stops: a date (its midnight in UTC) or an aware datetime.
        keep_cookie: Leave the cookie in the browser until the session is signed out, so that
            the package could serve again.

    Raises:
        ConfigurationError: An argument is of another kind.
    """

    label = b"better-auth"
    keeps_end = True

    def __init__(
        self,
        *,
        secrets: Sequence[Secret],
        name: str = "better-auth",
        path: str | None = "/",
        domain: str | None = None,
        until: date | None = None,
        keep_cookie: bool = False,
    ) -> None:
        super().__init__(name=name, path=path, domain=domain, until=until, keep_cookie=keep_cookie)
        self._token, self._data = f"{name}.session_token", f"{name}.session_data"
        self._keys = checked_secrets(secrets)

    def names(self, cookies: Iterable[str]) -> list[str]:
        """Return the names of the token and of the data."""
        return [name for name in cookies if name in (self._token, self._data)]

    def search(self, cookies: Mapping[str, str], now: float) -> Search:
        """Return what the data holds, if it belongs to the token."""
        yield from ()
        if self._token not in cookies:
            return None
        token, _, mac = from_percent(bare(cookies[self._token])).rpartition(".")
        check_mac(self._keys, token.encode(), from_base64(mac), "sha256")
        if self._data not in cookies:
            raise Refused("gone", self.digest(token.encode()))
        cached = json_object(from_base64url(bare(cookies[self._data])))
        session = as_dict(cached.get("session"))
        until = cached.get("expiresAt")
        self._check(session, until, cached.get("signature"))
        if type(until) is not int or until / 1000 <= now:
            raise Refused("expired")
        row = as_dict(session.get("session"))
        if row.get("token") != token:
            raise Refused("seal")
        values = {key: session[key] for key in ("session", "user") if key in session}
        return Found(values, token.encode(), _time(row, "createdAt"), _time(row, "expiresAt"))

    def _check(self, session: dict[str, Any], until: Any, signature: Any) -> None:
        """Raise `Refused` unless a secret verifies the data."""
        signed = json.dumps(
            {**session, "expiresAt": until}, separators=(",", ":"), ensure_ascii=False
        )
        mac = from_base64url(signature if isinstance(signature, str) else "")
        check_mac(self._keys, signed.encode(), mac, "sha256")


def _time(row: dict[str, Any], key: str) -> float:
    found = datetime.fromisoformat(str(row.get(key)))
    if found.tzinfo is None:
        raise Refused("damaged")
    return found.timestamp()

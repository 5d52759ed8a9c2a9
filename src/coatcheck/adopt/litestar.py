"""
Litestar's sessions, in the cookie, in Redis or in files.

    cookie    base64(nonce + AES-GCM(JSON) + "additional_authenticated_data=" + {"expires_at": …}),
              in double quotes; a long one is cut into NAME-0, NAME-1, …
    Redis     "LITESTAR:" + id, JSON
    files     see `stores.Folder`

Source: https://github.com/litestar-org/litestar/tree/main/litestar/middleware/session
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from coatcheck.adopt import ciphers
from coatcheck.adopt.reader import AHEAD, Found, Reader, Search, Secret, checked_secrets
from coatcheck.adopt.refused import Refused
from coatcheck.adopt.stores import store_of
from coatcheck.adopt.texts import as_time, bare, from_base64, json_object
from coatcheck.errors import ConfigurationError

_AAD = b"additional_authenticated_data="

_is_id = re.compile(r"[A-Za-z0-9_-]{16,256}").fullmatch


class Litestar(Reader):
    """
    Reads the sessions of Litestar.

    Args:
        client: Of Redis, plain or awaited, or the Path of a `FileStore`; None: the session is in
            the cookie (`CookieBackendConfig`; extra `coatcheck[encrypt]`).
        prefix: The namespace of the `RedisStore` and ":"; a `FileStore` has none.
        secrets: `secret` of the cookie backend, the one of today first: 16, 24 or 32 bytes.
        name: `key`.
        take: Delete the record once its session is adopted.
        max_age: `max_age`: the cookie cannot end later than that from now; None: nothing is checked
            beside its own end.
        path: `path`, so that the cookie can be removed.
        domain: `domain`, for the same.
        until: When this reader stops: a date (its midnight in UTC) or an aware datetime.
        keep_cookie: Leave the cookie in the browser until the session is signed out, so that
            the package could serve again.

    Raises:
        ConfigurationError: An argument is of another kind.
    """

    label = b"litestar"
    keeps_end = True

    def __init__(
        self,
        client: Any = None,
        *,
        prefix: str = "LITESTAR:",
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
        self._prefix = "" if isinstance(client, Path) else prefix
        self._keys = checked_secrets(secrets, needed=client is None)
        if client is None:
            ciphers.check_installed()
            if any(len(key) not in (16, 24, 32) for key in self._keys):
                raise ConfigurationError("secrets of Litestar must have 16, 24 or 32 bytes each")

    def names(self, cookies: Iterable[str]) -> list[str]:
        """Return the cookie's name, or those of its parts, in order."""
        found = [name for name in cookies if self._part(name) is not None]
        return sorted(found, key=lambda name: self._part(name) or 0)

    def search(self, cookies: Mapping[str, str], now: float) -> Search:
        """Return what the cookie holds, or what its id leads to."""
        names = self.names(cookies)
        if not names:
            return None
        if self.store is None:
            return self._decrypted("".join(bare(cookies[name]) for name in names), now)
        id = bare(cookies.get(self.name, ""))
        if not _is_id(id):
            raise Refused("damaged")
        row = yield self._prefix + id
        if row is None:
            raise Refused("gone", self.digest(id.encode()))
        return Found(json_object(row.data), id.encode(), None, row.ends(now))

    def _part(self, name: str) -> int | None:
        """Return the place of a cookie among the parts; None: it is none of them."""
        if name == self.name:
            return -1
        number = name.removeprefix(f"{self.name}-")
        is_part = self.store is None and number != name and number.isdecimal() and len(number) < 3
        return int(number) if is_part else None

    def _decrypted(self, text: str, now: float) -> Found:
        data = from_base64(bare(text))
        sealed, found, aad = data.rpartition(_AAD)
        if not found:
            raise Refused("damaged")
        nonce, sealed = sealed[: ciphers.NONCE], sealed[ciphers.NONCE :]
        for key in self._keys:
            clear = ciphers.open_gcm(key, nonce, sealed, aad)
            if clear is not None:
                break
        else:
            raise Refused("seal")
        expires = as_time(json_object(aad).get("expires_at"))
        if self.max_age is not None and expires > now + self.max_age + AHEAD:
            raise Refused("future")
        return Found(json_object(clear), data, None, expires)

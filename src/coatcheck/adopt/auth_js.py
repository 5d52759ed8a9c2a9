"""
Session cookies of Auth.js (NextAuth) with the strategy "jwt".

A JWE in compact form: header . "" . iv . ciphertext . tag, with `alg` dir and `enc` A256CBC-HS512.
The key is HKDF-SHA256 of the secret, salted with the cookie's name. A long cookie is cut into
NAME.0, NAME.1, …. Any other algorithm is refused.

Source: https://github.com/nextauthjs/next-auth/blob/main/packages/core/src/jwt.ts, RFC 7516 and
RFC 7518, 5.2
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from coatcheck.adopt import ciphers
from coatcheck.adopt.reader import Found, Reader, Search, Secret, checked_secrets
from coatcheck.adopt.refused import Refused
from coatcheck.adopt.texts import as_time, bare, from_base64url, json_object

SKEW = 15.0
"""Seconds that the package adds to the end of a token."""

_MAC = 32


class AuthJs(Reader):
    """
    Reads the session cookies of Auth.js 5 (extra `coatcheck[encrypt]`).

    Args:
        secrets: `AUTH_SECRET`, the one of today first.
        name: Of the cookie, with "__Secure-" before it where it has that: it goes into the key.
        path: Of the cookie, so that it can be removed.
        domain: The same.
        until: When this reader stops: a date (its midnight in UTC) or an aware datetime.
        keep_cookie: Leave the cookie in the browser until the session is signed out, so that
            the package could serve again.

    Raises:
        ConfigurationError: An argument is of another kind.
    """

    label = b"auth.js"
    keeps_end = True
    own_keys = frozenset({"iat", "exp", "jti"})

    def __init__(
        self,
        *,
        secrets: Sequence[Secret],
        name: str = "authjs.session-token",
        path: str | None = "/",
        domain: str | None = None,
        until: date | None = None,
        keep_cookie: bool = False,
    ) -> None:
        super().__init__(name=name, path=path, domain=domain, until=until, keep_cookie=keep_cookie)
        self._keys = [_key(secret, name.encode()) for secret in checked_secrets(secrets)]
        ciphers.check_installed()

    def names(self, cookies: Iterable[str]) -> list[str]:
        """Return the cookie's name, or those of its parts, in order."""
        found = [name for name in cookies if self._part(name) is not None]
        return sorted(found, key=lambda name: self._part(name) or 0)

    def search(self, cookies: Mapping[str, str], now: float) -> Search:  # noqa: ARG002
        """Return what the encrypted cookie holds."""
        yield from ()
        names = self.names(cookies)
        if not names:
            return None
        parts = bare("".join(bare(cookies[name]) for name in names)).split(".")
        if len(parts) != 5 or parts[1]:
            raise Refused("damaged")
        header = json_object(from_base64url(parts[0]))
        if (header.get("alg"), header.get("enc")) != ("dir", "A256CBC-HS512"):
            raise Refused("unsupported")
        iv, data, tag = map(from_base64url, parts[2:])
        signed = parts[0].encode() + iv + data + (len(parts[0]) * 8).to_bytes(8, "big")
        clear = ciphers.open_cbc(self._key(signed, tag)[32:], iv, data)
        if clear is None:
            raise Refused("damaged")
        values = json_object(clear)
        created, expires = as_time(values.get("iat")), as_time(values.get("exp"))
        return Found(values, signed, created, expires + SKEW)

    def _part(self, name: str) -> int | None:
        """Return the place of a cookie among the parts; None: it is none of them."""
        if name == self.name:
            return -1
        number = name.removeprefix(f"{self.name}.")
        is_part = number != name and number.isdecimal() and len(number) < 3
        return int(number) if is_part else None

    def _key(self, signed: bytes, tag: bytes) -> bytes:
        """Return the key with which the tag verifies."""
        for key in self._keys:
            if hmac.compare_digest(hmac.digest(key[:32], signed, "sha512")[:_MAC], tag):
                return key
        raise Refused("seal")


def _key(secret: bytes, name: bytes) -> bytes:
    """Return the 64 bytes of a key: HKDF-SHA256 (RFC 5869) of the secret."""
    info = b"Auth.js Generated Encryption Key (" + name + b")"
    pseudorandom = hmac.digest(name, secret, "sha256")
    first = hmac.digest(pseudorandom, info + b"\x01", hashlib.sha256)
    return first + hmac.digest(pseudorandom, first + info + b"\x02", hashlib.sha256)

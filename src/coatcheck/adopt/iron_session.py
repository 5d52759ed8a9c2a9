"""
Cookies of Node's iron-session, as Next.js applications use it.

    Fe26.2 * password id * salt * iv * ciphertext * expiry in ms * HMAC salt * HMAC ~2

Both keys are PBKDF2-SHA1 of the password and a salt, in one round: AES-256-CBC over JSON, and
HMAC-SHA256 over all before the HMAC's salt. Without "~2" the session is under "persistent".

Source: https://github.com/vvo/iron-session and https://github.com/brc-dd/iron-webcrypto
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import date

from coatcheck.adopt import ciphers
from coatcheck.adopt.reader import AHEAD, Found, Reader, Search, Secret, checked_secrets
from coatcheck.adopt.refused import Refused
from coatcheck.adopt.texts import as_dict, as_time, bare, from_base64url, from_json

_PREFIX, _PARTS, _VERSION = "Fe26.2", 8, "~2"

_LONGEST_SALT = 128


class IronSession(Reader):
    """
    Reads the cookies of iron-session 8 (extra `coatcheck[encrypt]`).

    Args:
        secrets: `password`, the one of today first.
        name: `cookieName`.
        path: `cookieOptions.path`, so that the cookie can be removed.
        domain: `cookieOptions.domain`, for the same.
        until: When this reader stops: a date (its midnight in UTC) or an aware datetime. With
            `ttl: 0` a cookie has no end; then it is needed.
        keep_cookie: Leave the cookie in the browser until the session is signed out, so that
            the package could serve again.

    Raises:
        ConfigurationError: An argument is of another kind.
    """

    label = b"iron-session"
    keeps_end = True

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
        self._passwords = checked_secrets(secrets)
        ciphers.check_installed()

    def search(self, cookies: Mapping[str, str], now: float) -> Search:  # noqa: ARG002
        """Return what the sealed cookie holds."""
        yield from ()
        if self.name not in cookies:
            return None
        text = bare(cookies[self.name])
        sealed = text.removesuffix(_VERSION)
        parts = sealed.split("*")
        if len(parts) != _PARTS or parts[0] != _PREFIX:
            raise Refused("damaged")
        _, _, salt, iv, data, expiry, mac_salt, mac = parts
        if max(len(salt), len(mac_salt)) > _LONGEST_SALT:
            raise Refused("damaged")
        signed = "*".join(parts[:6]).encode()
        password = self._password(signed, mac_salt, from_base64url(mac))
        clear = ciphers.open_cbc(_key(password, salt), from_base64url(iv), from_base64url(data))
        if clear is None:
            raise Refused("damaged")
        values = as_dict(from_json(clear))
        if sealed == text:
            values = as_dict(values.get("persistent"))
        expires = None
        if expiry:
            if not expiry.isdecimal():
                raise Refused("damaged")
            expires = as_time(int(expiry) / 1000) + AHEAD
        elif self.until is None:
            raise Refused("unsupported")  # it has no end
        return Found(values, signed, None, expires)

    def _password(self, signed: bytes, salt: str, mac: bytes) -> bytes:
        """Return the password with which the HMAC verifies."""
        for password in self._passwords:
            made = hmac.digest(_key(password, salt), signed, "sha256")
            if hmac.compare_digest(made, mac):
                return password
        raise Refused("seal")


def _key(password: bytes, salt: str) -> bytes:
    return hashlib.pbkdf2_hmac("sha1", password, salt.encode(), 1, 32)

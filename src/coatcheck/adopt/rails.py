"""
The encrypted session cookie of Ruby on Rails.

    percent-encoded base64(ciphertext) -- base64(iv) -- base64(tag), AES-256-GCM

The key is PBKDF2 of `secret_key_base`, in 1,000 rounds of SHA-256 (Rails 7) or SHA-1 (5.2 to 6.1).
Inside is JSON {"_rails": {"message": base64 of the session, "exp": …, "pur": "cookie." + name}}. A
session that is Marshal inside is refused: set `cookies_serializer = :json` in Rails before.

Source: https://github.com/rails/rails/blob/main/actionpack/lib/action_dispatch/middleware/cookies.rb
and activesupport/lib/active_support/message_encryptor.rb
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime

from coatcheck.adopt import ciphers
from coatcheck.adopt.reader import Found, Reader, Search, Secret, checked_secrets
from coatcheck.adopt.refused import Refused
from coatcheck.adopt.texts import as_dict, bare, from_base64, from_percent, json_object

_SALT, _ROUNDS, _KEY = b"authenticated encrypted cookie", 1000, 32

_MARSHAL = b"\x04\x08"


class Rails(Reader):
    """
    Reads the session cookie of Rails 5.2 and later (extra `coatcheck[encrypt]`).

    Args:
        secrets: `secret_key_base`, the one of today first.
        name: Of the cookie, "_APPLICATION_session": it is sealed with the value.
        path: Of the cookie, so that it can be removed.
        domain: The same.
        until: When this reader stops: a date (its midnight in UTC) or an aware datetime. A session
            middleware demands it, because a session cookie of Rails has no end of its own.
        keep_cookie: Leave the cookie in the browser until the session is signed out, so that
            the package could serve again.

    Raises:
        ConfigurationError: An argument is of another kind.
    """

    label = b"rails"
    own_keys = frozenset({"session_id", "_csrf_token"})

    def __init__(
        self,
        *,
        secrets: Sequence[Secret],
        name: str,
        path: str | None = "/",
        domain: str | None = None,
        until: date | None = None,
        keep_cookie: bool = False,
    ) -> None:
        super().__init__(name=name, path=path, domain=domain, until=until, keep_cookie=keep_cookie)
        ciphers.check_installed()
        self._keys = [
            hashlib.pbkdf2_hmac(algorithm, secret, _SALT, _ROUNDS, _KEY)
            for secret in checked_secrets(secrets)
            for algorithm in ("sha256", "sha1")
        ]

    def search(self, cookies: Mapping[str, str], now: float) -> Search:  # noqa: ARG002
        """Return what the encrypted cookie holds."""
        yield from ()
        if self.name not in cookies:
            return None
        parts = from_percent(bare(cookies[self.name])).split("--")
        if len(parts) != 3:
            raise Refused("damaged")
        sealed, iv, tag = map(from_base64, parts)
        if len(tag) != ciphers.TAG:
            raise Refused("damaged")
        envelope = as_dict(json_object(self._decrypted(iv, sealed + tag)).get("_rails"))
        if envelope.get("pur") != f"cookie.{self.name}":
            raise Refused("seal")
        message = from_base64(str(envelope.get("message")))
        if message.startswith(_MARSHAL):
            raise Refused("unsupported")
        return Found(json_object(message), iv + sealed + tag, None, _time(envelope.get("exp")))

    def _decrypted(self, iv: bytes, sealed: bytes) -> bytes:
        for key in self._keys:
            clear = ciphers.open_gcm(key, iv, sealed, None)
            if clear is not None:
                return clear
        raise Refused("seal")


def _time(text: object) -> float | None:
    if text is None:
        return None
    found = datetime.fromisoformat(str(text))
    if found.tzinfo is None:
        raise Refused("damaged")
    return found.timestamp()

"""
The short-lived cookie that proves a device: `__Host-` and the session cookie's name, `-bound`.

    "rKq…" + "." + "8c1f…" + "." + "1764000600"     binding, digest of the device's key, deadline

It is sealed with the secrets of the session cookie. It belongs to one binding and one key, and
carries its own deadline, so no server is asked about it, and an older one counts until its own end.

Pure: no clock; *now* is an argument.
"""

import hashlib
import hmac
import re

from coatcheck._cookie.cookie import Cookie
from coatcheck.errors import ConfigurationError

_match_prefix = re.compile(r"(__host-http-|__http-|__host-|__secure-)?", re.IGNORECASE).match


class BoundCookie:
    """
    The cookie beside a session cookie.

    Args:
        beside: The session cookie.
        seconds: How long it lives.

    Raises:
        ConfigurationError: The session cookie reaches hosts, or requests, that this one does not.
    """

    def __init__(self, beside: Cookie, seconds: int) -> None:
        if beside.domain or not beside.secure:
            given = f"domain={beside.domain!r}" if beside.domain else "secure=False"
            raise ConfigurationError(
                f"bound needs a session cookie for one host over HTTPS, got {given}: the cookie "
                "that proves the device has the prefix __Host-, so it goes nowhere else"
            )
        prefix = _match_prefix(beside.name)
        self._cookie = Cookie(
            f"__Host-{beside.name[prefix.end() if prefix else 0 :]}-bound",
            secrets=beside.secrets,
            max_age=seconds,
            samesite=beside.samesite,
            partitioned=beside.partitioned,
        )
        self.name = self._cookie.name
        self.removal = self._cookie.serialize("")
        self.attributes = self._cookie.serialize("-", max_age=None).partition("; ")[2]

    def line(self, binding: str, key: bytes, until: float) -> str:
        """
        Return the Set-Cookie header value.

        Args:
            binding: The id of the binding.
            key: The public key of the device.
            until: When the cookie ends.
        """
        return self._cookie.serialize(f"{binding}.{_digest(key)}.{int(until)}")

    def proves(self, header: str | None, binding: str, key: bytes, now: float) -> bool:
        """
        Tell whether a request brings a cookie of this binding and this key that has not ended.

        Args:
            header: The Cookie header; None: there is none.
        """
        wanted = f"{binding}.{_digest(key)}".encode()
        for opened in self._cookie.candidates(header or ""):
            owner, _, until = opened.text.rpartition(".")
            if hmac.compare_digest(owner.encode(), wanted) and now < float(until):
                return True
        return False


def _digest(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:32]

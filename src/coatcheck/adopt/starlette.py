"""
Sessions of Starlette's `SessionMiddleware`, in the cookie.

    base64(JSON) . base64url(time) . base64url(HMAC-SHA1(SHA1("itsdangerous.Signer" + "signer" +
    secret), all before the last dot))

The middleware signs the cookie again with each response, so its time is that of the last one.

Source: https://github.com/encode/starlette/blob/master/starlette/middleware/sessions.py
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from coatcheck.adopt.reader import Found, Reader, Search, Secret, checked_secrets
from coatcheck.adopt.texts import from_base64, json_object
from coatcheck.adopt.timed import opened, sha1_keys

SALT = b"itsdangerous.Signer"

LABEL = b"itsdangerous"


class Starlette(Reader):
    """
    Reads the cookies of Starlette's and FastAPI's `SessionMiddleware`.

    Args:
        secrets: The `secret_key` of today first, then older ones.
        name: `session_cookie`.
        max_age: `max_age`, in seconds or as a timedelta.
        path: `path`, so that the cookie can be removed.
        domain: `domain`, for the same.
        until: When this reader stops: a date (its midnight in UTC) or an aware datetime.
        keep_cookie: Leave the cookie in the browser until the session is signed out, so that
            the package could serve again.

    Raises:
        ConfigurationError: An argument is of another kind.
    """

    label = LABEL

    def __init__(
        self,
        *,
        secrets: Sequence[Secret],
        name: str = "session",
        max_age: float | timedelta | None = 14 * 24 * 3600,
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
            keep_cookie=keep_cookie,
        )
        self._keys = sha1_keys(checked_secrets(secrets), SALT)

    def search(self, cookies: Mapping[str, str], now: float) -> Search:  # noqa: ARG002
        """Return what the signed cookie holds."""
        yield from ()
        if self.name not in cookies:
            return None
        timed = opened(cookies[self.name], self._keys)
        values = json_object(from_base64(timed.payload))
        return Found(values, timed.signed, timed.signed_at, self.aged(timed.signed_at))

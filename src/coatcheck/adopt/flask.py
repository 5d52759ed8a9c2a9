"""
Flask's own sessions, in the cookie.

    [.]base64url([zlib] tagged JSON) . base64url(time) . base64url(HMAC-SHA1(HMAC-SHA1(secret,
    "cookie-session"), all before the last dot))

A leading dot says that the payload was made smaller; the dot is signed, too. The age counts from
the signature, whether or not the session is permanent.

Source: https://github.com/pallets/flask/blob/main/src/flask/sessions.py
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from coatcheck.adopt.flask_tags import untagged
from coatcheck.adopt.reader import Found, Reader, Search, Secret, checked_secrets
from coatcheck.adopt.starlette import LABEL
from coatcheck.adopt.texts import as_dict, json_object
from coatcheck.adopt.timed import hmac_keys, opened, payload_bytes

FLASHES, PERMANENT = "_flashes", "_permanent"


class Flask(Reader):
    """
    Reads the cookies of Flask's and Quart's own sessions.

    Args:
        secrets: `SECRET_KEY` first, then `SECRET_KEY_FALLBACKS`.
        name: `SESSION_COOKIE_NAME`.
        max_age: `PERMANENT_SESSION_LIFETIME`, in seconds or as a timedelta.
        path: `SESSION_COOKIE_PATH`, so that the cookie can be removed.
        domain: `SESSION_COOKIE_DOMAIN`, for the same.
        until: When this reader stops: a date (its midnight in UTC) or an aware datetime.
        keep_cookie: Leave the cookie in the browser until the session is signed out, so that
            the package could serve again.

    Raises:
        ConfigurationError: An argument is of another kind.
    """

    label = LABEL
    own_keys = frozenset({PERMANENT})
    messages_key = FLASHES

    def __init__(
        self,
        *,
        secrets: Sequence[Secret],
        name: str = "session",
        max_age: float | timedelta | None = 31 * 24 * 3600,
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
        self._keys = hmac_keys(checked_secrets(secrets), b"cookie-session")

    def search(self, cookies: Mapping[str, str], now: float) -> Search:  # noqa: ARG002
        """Return what the signed cookie holds."""
        yield from ()
        if self.name not in cookies:
            return None
        timed = opened(cookies[self.name], self._keys)
        values = as_dict(untagged(json_object(payload_bytes(timed.payload))))
        return Found(values, timed.signed, timed.signed_at, self.aged(timed.signed_at))

    def flashes_of(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return Flask's messages by category."""
        return flask_messages(values)


def flask_messages(values: dict[str, Any]) -> dict[str, Any]:
    """Take the pairs (category, message) that `flash()` left, and return them by category."""
    return by_category(values.pop(FLASHES, None))


def by_category(pairs: object) -> dict[str, Any]:
    """Return messages by category: one as it is, several of one category as a list, in order."""
    found: dict[str, list[Any]] = {}
    for pair in pairs if isinstance(pairs, list) else ():
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str):
            found.setdefault(pair[0], []).append(pair[1])
    return {name: each[0] if len(each) == 1 else each for name, each in found.items()}

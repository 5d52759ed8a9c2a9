"""
Django's sessions, of its four engines.

    signed_cookies      [.]base64url([zlib] JSON) : base62(time) : base64url(HMAC-SHA256)
    db                  the same in session_data, with another salt; expire_date ends it
    cache, cached_db    a pickle of plain data in the cache, under a key made of the cookie's

The keys that Django's `login()` writes stay as they are, so `get_user()` of our engine for Django
finds the user, and compares `_auth_user_hash`. In other frameworks the user is `_auth_user_id`.
Messages that the messages framework left in the session become flashes by their level's name.

Source: https://github.com/django/django/tree/main/django/contrib/sessions/backends
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from coatcheck.adopt.flask import by_category
from coatcheck.adopt.plain_pickle import read_pickle
from coatcheck.adopt.reader import Found, Reader, Search, Secret, checked_secrets
from coatcheck.adopt.refused import Refused
from coatcheck.adopt.stores import Columns, store_of
from coatcheck.adopt.texts import as_dict, bare, json_object
from coatcheck.adopt.timed import django_keys, django_opened, payload_bytes

MESSAGES = "_messages"

_LEVELS = {10: "debug", 20: "info", 25: "success", 30: "warning", 40: "error"}

_is_key = re.compile(r"[a-z0-9]{8,40}").fullmatch


class _DjangoReader(Reader):
    """The common part of the readers of all engines."""

    label = b"django"
    messages_key = MESSAGES

    def flashes_of(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the messages of Django's messages framework by their level's name."""
        return django_messages(values)

    def _key(self, cookies: Mapping[str, str]) -> str:
        key = bare(cookies[self.name])
        if not _is_key(key):
            raise Refused("damaged")
        return key


class Django(_DjangoReader):
    """
    Reads the cookies of Django's engine `signed_cookies`.

    Args:
        secrets: `SECRET_KEY` first, then `SECRET_KEY_FALLBACKS`.
        name: `SESSION_COOKIE_NAME`.
        max_age: `SESSION_COOKIE_AGE`, in seconds or as a timedelta.
        path: `SESSION_COOKIE_PATH`, so that the cookie can be removed.
        domain: `SESSION_COOKIE_DOMAIN`, for the same.
        until: When this reader stops: a date (its midnight in UTC) or an aware datetime.
        keep_cookie: Leave the cookie in the browser until the session is signed out, so that
            the package could serve again.

    Raises:
        ConfigurationError: An argument is of another kind.
    """

    def __init__(
        self,
        *,
        secrets: Sequence[Secret],
        name: str = "sessionid",
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
        salt = b"django.contrib.sessions.backends.signed_cookies"
        self._keys = django_keys(checked_secrets(secrets), salt)

    def search(self, cookies: Mapping[str, str], now: float) -> Search:  # noqa: ARG002
        """Return what the signed cookie holds."""
        yield from ()
        if self.name not in cookies:
            return None
        timed = django_opened(cookies[self.name], self._keys)
        values = json_object(payload_bytes(timed.payload))
        return Found(values, timed.signed, timed.signed_at, self.aged(timed.signed_at))


class DjangoTable(_DjangoReader):
    """
    Reads the rows of Django's engines `db` and `cached_db`.

    Args:
        engine: An SQLAlchemy engine, plain or awaited, to Django's database.
        secrets: `SECRET_KEY` first, then `SECRET_KEY_FALLBACKS`.
        table: The table of the sessions.
        name: `SESSION_COOKIE_NAME`.
        take: Delete the row once its session is adopted.
        path: `SESSION_COOKIE_PATH`, so that the cookie can be removed.
        domain: `SESSION_COOKIE_DOMAIN`, for the same.
        until: When this reader stops: a date (its midnight in UTC) or an aware datetime.
        keep_cookie: Leave the cookie in the browser until the session is signed out, so that
            the package could serve again.

    Raises:
        ConfigurationError: An argument is of another kind.
    """

    def __init__(
        self,
        engine: Any,
        *,
        secrets: Sequence[Secret],
        table: str = "django_session",
        name: str = "sessionid",
        take: bool = False,
        path: str | None = "/",
        domain: str | None = None,
        until: date | None = None,
        keep_cookie: bool = False,
    ) -> None:
        columns = Columns("session_key", "session_data", "expire_date")
        store = store_of(engine, table=table, columns=columns)
        super().__init__(
            name=name,
            path=path,
            domain=domain,
            until=until,
            store=store,
            take=take,
            keep_cookie=keep_cookie,
        )
        salt = b"django.contrib.sessions.SessionStore"
        self._keys = django_keys(checked_secrets(secrets), salt)

    def search(self, cookies: Mapping[str, str], now: float) -> Search:
        """Return the row that the cookie's key leads to."""
        if self.name not in cookies:
            return None
        key = self._key(cookies)
        row = yield key
        if row is None:
            raise Refused("gone", self.digest(key.encode()))
        timed = django_opened(row.data.decode(), self._keys)
        values = json_object(payload_bytes(timed.payload))
        return Found(values, key.encode(), timed.signed_at, row.ends(now))


class DjangoCache(_DjangoReader):
    """
    Reads the sessions of Django's engines `cache` and `cached_db` in Redis or Memcached.

    A session of `cached_db` that the cache has lost is in the table: give `DjangoTable`, too.

    Args:
        client: Of Redis, or of Memcached; awaited clients, too.
        prefix: `KEY_PREFIX:VERSION:` of the cache.
        name: `SESSION_COOKIE_NAME`.
        take: Delete the record once its session is adopted.
        path: `SESSION_COOKIE_PATH`, so that the cookie can be removed.
        domain: `SESSION_COOKIE_DOMAIN`, for the same.
        until: When this reader stops: a date (its midnight in UTC) or an aware datetime.
        keep_cookie: Leave the cookie in the browser until the session is signed out, so that
            the package could serve again.

    Raises:
        ConfigurationError: An argument is of another kind.
    """

    def __init__(
        self,
        client: Any,
        *,
        prefix: str = ":1:",
        name: str = "sessionid",
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

    def search(self, cookies: Mapping[str, str], now: float) -> Search:
        """Return the record that the cookie's key leads to, under either engine's name."""
        if self.name not in cookies:
            return None
        key = self._key(cookies)
        for engine in ("cache", "cached_db"):
            row = yield f"{self._prefix}django.contrib.sessions.{engine}{key}"
            if row is not None:
                return Found(as_dict(read_pickle(row.data)), key.encode(), None, row.ends(now))
        raise Refused("gone", self.digest(key.encode()))


def django_messages(values: dict[str, Any]) -> dict[str, Any]:
    """
    Take what Django's messages framework left in a session, and return it by the level's name.

    It is JSON in a text: [["__json_message", is it safe, level, message, extra tags], …].
    """
    text = values.pop(MESSAGES, None)
    try:
        found = json.loads(text) if isinstance(text, str) else ()
    except (ValueError, RecursionError):
        return {}
    return by_category(
        [
            [_LEVELS.get(message[2], "info"), message[3]]
            for message in found
            if isinstance(message, list)
            and len(message) > 3
            and message[0] == "__json_message"
            and type(message[2]) is int
            and isinstance(message[3], str)
        ]
    )

"""
Sessions of the package Flask-Session, on a server.

    cookie    id, or id . base64url(HMAC-SHA1(HMAC-SHA1(secret, "flask-session"), id))
    key       "session:" + id, in Redis, in Memcached, or in the column session_id
    record    MessagePack (since 0.7), JSON, or a pickle of plain data (0.5 and 0.6)

Each visit renews the time to live of a record, which alone ends it.

Source: https://github.com/pallets-eco/flask-session/tree/development/src/flask_session
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import msgspec

from coatcheck._session.values import CORRUPT
from coatcheck.adopt.flask import FLASHES, PERMANENT, flask_messages
from coatcheck.adopt.plain_pickle import read_pickle
from coatcheck.adopt.reader import Found, Reader, Search, Secret, checked_secrets
from coatcheck.adopt.refused import Refused
from coatcheck.adopt.stores import Columns, store_of
from coatcheck.adopt.texts import as_dict, bare, from_json
from coatcheck.adopt.timed import hmac_keys, unsigned

_is_id = re.compile(r"[A-Za-z0-9_-]{16,256}").fullmatch


class FlaskSession(Reader):
    """
    Reads the sessions of Flask-Session 0.5 to 0.8.

    Args:
        client: Of Redis, of Memcached, or an SQLAlchemy engine; awaited clients, too.
        prefix: `SESSION_KEY_PREFIX`.
        secrets: `SECRET_KEY` first, if `SESSION_USE_SIGNER` is set; then an id without a signature
            is refused.
        name: `SESSION_COOKIE_NAME`.
        take: Delete the record once its session is adopted.
        table: `SESSION_SQLALCHEMY_TABLE`.
        path: `SESSION_COOKIE_PATH`, so that the cookie can be removed.
        domain: `SESSION_COOKIE_DOMAIN`, for the same.
        until: When this reader stops: a date (its midnight in UTC) or an aware datetime.
        keep_cookie: Leave the cookie in the browser until the session is signed out, so that
            the package could serve again.

    Raises:
        ConfigurationError: An argument is of another kind.
    """

    label = b"flask-session"
    own_keys = frozenset({PERMANENT})
    messages_key = FLASHES

    def __init__(
        self,
        client: Any,
        *,
        prefix: str = "session:",
        secrets: Sequence[Secret] = (),
        name: str = "session",
        take: bool = False,
        table: str = "sessions",
        path: str | None = "/",
        domain: str | None = None,
        until: date | None = None,
        keep_cookie: bool = False,
    ) -> None:
        store = store_of(client, table=table, columns=Columns("session_id", "data", "expiry"))
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
        self._keys = hmac_keys(checked_secrets(secrets, needed=False), b"flask-session")

    def search(self, cookies: Mapping[str, str], now: float) -> Search:
        """Return the record that the cookie's id leads to."""
        if self.name not in cookies:
            return None
        value = cookies[self.name]
        id = unsigned(value, self._keys) if self._keys else bare(value)
        if not _is_id(id):
            raise Refused("damaged")
        row = yield self._prefix + id
        if row is None:
            raise Refused("gone", self.digest(id.encode()))
        return Found(as_dict(_record(row.data)), id.encode(), None, row.ends(now))

    def flashes_of(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return Flask's messages by category."""
        return flask_messages(values)


def _record(data: bytes) -> Any:
    """Return what a record stands for: its first bytes tell how it was written."""
    if data[:1] == b"{":
        return from_json(data)
    if data[:1] in (b"\x80", b"(", b"}") and data[-1:] == b".":  # b"\x80" alone is an empty map
        return read_pickle(data)
    try:
        return msgspec.msgpack.decode(data, ext_hook=_refuse)
    except CORRUPT:
        raise Refused("damaged") from None


def _refuse(code: int, data: memoryview) -> Any:  # noqa: ARG001
    raise Refused("unsupported")

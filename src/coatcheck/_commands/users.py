"""
The sessions of one user: `coatcheck users`, `coatcheck end` and `coatcheck show`.

The name of the cookie is that of `session()`, `__session` if none is given. Where a storage is
encrypted, its lists are opened with the secrets of the cookie: every variable of the environment
whose name begins with SESSION_SECRET, in the order of their names. No value is ever shown.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from secrets import token_urlsafe
from typing import Any

from coatcheck import Cookie, Users
from coatcheck._commands.output import Output
from coatcheck._commands.scanning import open_storage
from coatcheck._session.record import Record
from coatcheck._session.roster import Row
from coatcheck._session.roster_plans import living
from coatcheck._session.user_plans import UserSession
from coatcheck._session.values import decode
from coatcheck.errors import ConfigurationError

SECRET = "SESSION_SECRET"  # noqa: S105 - the name of a variable


@contextmanager
def users_of(url: str, cookie: str, environ: Mapping[str, str] = os.environ) -> Iterator[Users]:
    """
    Yield the users of a storage.

    Raises:
        ConfigurationError: The URL makes no sense, or the storage keeps no lists.
    """
    secrets = [environ[name] for name in sorted(environ) if name.startswith(SECRET)]
    storage = open_storage(url)
    try:
        if storage.space.cipher is not None and not secrets:
            raise ConfigurationError(f"set {SECRET} to the secret of the cookie: labels need it")
        unused = [token_urlsafe(32)]  # a list in clear needs no secret, only `Users` does
        yield Users(Cookie(cookie, secrets=secrets or unused), storage)
    finally:
        storage.close()


def list_sessions(url: str, user: str, output: Output, *, cookie: str) -> int:
    """Write the sessions of a user, and return the exit code."""
    with users_of(url, cookie) as users:
        found = users.sessions_of(user)
    if output.as_json:
        output.value([_facts(each) for each in found])
    elif not found:
        output.line(f"This user has no session of the cookie {cookie!r}; --cookie names another.")
    else:
        rows = ((it.handle, it.label, _short(it.signed_in_at), _short(it.seen_at)) for it in found)
        output.table(("handle", "label", "signed in (UTC)", "seen (UTC)"), rows, breaks=1)
    return 0


def end_sessions(url: str, user: str, output: Output, *, cookie: str, handle: str | None) -> int:
    """
    End one session of a user, or all of them, and return the exit code: 1 if it was not there.

    Args:
        handle: Of the session; None: all.
    """
    with users_of(url, cookie) as users:
        ended = users.end_all(user) if handle is None else int(users.end(user, handle))
    if output.as_json:
        output.value({"ended": ended})
    elif handle is not None and not ended:
        output.line("This user has no such session.")
    else:
        output.line(f"Ended {ended:,} session{'' if ended == 1 else 's'}.")
    return 0 if ended or handle is None else 1


def show_session(url: str, user: str, handle: str, output: Output, *, cookie: str) -> int:
    """Write what a session holds, without a value, and return the exit code."""
    with users_of(url, cookie) as users:
        listed = users._ask(lambda rosters, space: living(rosters.of(user, space)))
    row, record = next((each for each in listed if each[0].handle == handle), (None, None))
    if row is None or record is None:
        output.line("null" if output.as_json else "This user has no such session.")
        return 1
    told = _told(record) if record.body.who else _told_by_list(row, record)
    if output.as_json:
        output.value(told)
        return 0
    keys = told.pop("keys")
    output.table(("what", "value"), [(name, text) for name, text in told.items()])
    if keys is None:
        output.line("\nWhat it holds is encrypted: it opens for a request with its cookie alone.")
        return 0
    output.table(("key", "type", "bytes"), [(key, *facts) for key, facts in keys.items()], breaks=0)
    return 0


def _told(record: Record) -> dict[str, Any]:
    who = record.body.who
    values = {**record.body.values, **record.body.flashes}
    return {
        "created": _time(record.created),
        "id made": _time(record.issued),
        "expires": _time(record.expires),
        "signed in": _time(who.signed_in_at) if who else "",
        "confirmed": _time(who.confirmed_at) if who else "",
        "label": who.label if who else "",
        "acts as another user": "yes" if who and who.actor else "no",
        "flashes": len(record.body.flashes),
        "keys": {key: (_kind(value), len(value)) for key, value in sorted(values.items())},
    }


def _told_by_list(row: Row, record: Record) -> dict[str, Any]:
    """Return what is known of a session that is encrypted."""
    return {
        "created": _time(record.created),
        "id made": _time(record.issued),
        "expires": _time(record.expires),
        "signed in": _time(row.signed_in_at),
        "label": row.label,
        "keys": None,
    }


def _kind(value: Any) -> str:
    return type(decode(value)).__name__


def _facts(found: UserSession) -> dict[str, str]:
    return {
        "handle": found.handle,
        "label": found.label,
        "signed_in_at": _shown(found.signed_in_at),
        "seen_at": _shown(found.seen_at),
        "expires_at": _shown(found.expires_at),
    }


def _short(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}"


def _time(seconds: float) -> str:
    return _shown(datetime.fromtimestamp(seconds, UTC))


def _shown(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}Z"

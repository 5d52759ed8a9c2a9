"""
`coatcheck adopt --check FORMAT`: try a reader on one cookie, and tell what it found.

    pbpaste | ADOPT_SECRET=… coatcheck adopt --check flask
    echo "connect.sid=s%3A…" | ADOPT_SECRET=… coatcheck adopt --check express --server redis://…

The cookie comes from standard input: its value, or a whole Cookie header. Secrets come from the
environment: each variable whose name begins with ADOPT_SECRET, in the order of their names; after
"base64:" stand raw bytes. Told are keys, types and times, and the reason of a refusal; never a
value.

Exit codes: 0 if a session was found, 1 if not.
"""

import json
import os
import sys
import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from coatcheck import adopt
from coatcheck._session.adopted import Adopted, Refusal
from coatcheck.adopt.reader import Reader
from coatcheck.errors import ConfigurationError

VARIABLE = "ADOPT_SECRET"

BYTES = "base64:"

FORMATS: dict[str, Callable[..., Reader]] = {
    "aiohttp-session": adopt.AiohttpSession,
    "auth-js": adopt.AuthJs,
    "beaker": adopt.Beaker,
    "better-auth": adopt.BetterAuth,
    "cookie-session": adopt.CookieSession,
    "django": adopt.Django,
    "django-cache": adopt.DjangoCache,
    "django-table": adopt.DjangoTable,
    "express": adopt.Express,
    "flask": adopt.Flask,
    "flask-session": adopt.FlaskSession,
    "iron-session": adopt.IronSession,
    "litestar": adopt.Litestar,
    "rails": adopt.Rails,
    "starlette": adopt.Starlette,
    "starsessions": adopt.Starsessions,
}

_ON_SERVER = {"django-cache", "django-table", "express", "flask-session"}

_IN_EITHER = {"aiohttp-session", "beaker", "litestar", "starsessions"}

REASONS = {
    "seal": "none of the secrets verifies it: is ADOPT_SECRET the secret of the old package, and "
    "--name the name of its cookie?",
    "expired": "its time is over",
    "future": "it was made later than now: compare the clocks",
    "damaged": "it is no cookie or record of this format",
    "unsupported": "it holds what no session holds, or what is never loaded (see the page of its "
    "package)",
    "gone": "its server has no record for it",
    "too_large": "it has more bytes than a session may have",
}
"""Each reason of a refusal, in words."""


def check(
    format: str,
    *,
    name: str = "",
    server: str = "",
    as_json: bool = False,
    given: TextIO | None = None,
    out: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """
    Try the reader of a format on one cookie, and return the exit code.

    Args:
        format: One of `FORMATS`.
        name: Of the package's cookie; "": its default.
        server: Where the package keeps its records: a URL of Redis, a URL of SQLAlchemy, or a path;
            "": in the cookie.
        as_json: Write one JSON object.
        given: Where the cookie is read; None: standard input.
        out: Where the result is written; None: standard output.
        environ: Holds the secrets.

    Raises:
        ConfigurationError: The format needs a server or a secret, or knows none.
        BackendError: The server failed.
    """
    reader = _reader_of(format, name, server, environ)
    now = time.time()
    found = reader.look(cookies_of((given or sys.stdin).read(), reader), now)
    assert isinstance(found, Adopted | Refusal | None)  # noqa: S101 - its client is plain
    told = report_of(found, now)
    print(json.dumps(told) if as_json else _text(format, told), file=out or sys.stdout)
    return 0 if told["found"] else 1


def cookies_of(text: str, reader: Reader) -> dict[str, str]:
    """Return the cookies in a text: a Cookie header, or the value of the reader's cookie alone."""
    text = text.strip().removeprefix("Cookie:").strip()
    pairs = [pair.strip().partition("=") for pair in text.split(";")]
    cookies = {name: value for name, _, value in pairs}
    return cookies if reader.names(cookies) else {reader.name: text}


def report_of(found: Adopted | Refusal | None, now: float) -> dict[str, Any]:
    """Return what was found, without any value."""
    if not isinstance(found, Adopted):
        reason = found.reason if found else "damaged"
        return {"found": False, "reason": reason, "why": REASONS[reason]}
    return {
        "found": True,
        "created": _date(found.created),
        "age_seconds": None if found.created is None else max(0, round(now - found.created)),
        "expires": _date(found.expires),
        "keys": {key: _kind(value) for key, value in sorted(found.values.items())},
        "flashes": sorted(found.flashes),
    }


def _text(format: str, told: Mapping[str, Any]) -> str:
    if not told["found"]:
        why = str(told["why"])
        return f"No session of {format}: {why}{'' if why.endswith('?') else '.'}"
    age = told["age_seconds"]
    lines = [
        f"A session of {format}.",
        f"  made or signed: {told['created'] or 'it does not tell'}"
        + ("" if age is None else f" ({age:,} seconds ago)"),
        f"  ends: {told['expires'] or 'never by itself'}",
        *(f"  {key}: {kind}" for key, kind in told["keys"].items()),
        *(f"  message of the category {name}" for name in told["flashes"]),
    ]
    return "\n".join(lines)


def _kind(value: object) -> str:
    """Return the type of a value, and how many parts it has."""
    kind = type(value).__name__
    return f"{kind} of {len(value)}" if isinstance(value, list | dict) else kind


def _date(at: float | None) -> str | None:
    return None if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _reader_of(format: str, name: str, server: str, environ: Mapping[str, str]) -> Reader:
    options: dict[str, Any] = {"name": name} if name else {}
    secrets = [_secret(environ[key]) for key in sorted(environ) if key.startswith(VARIABLE)]
    if secrets and format != "django-cache":
        options["secrets"] = secrets
    if format in _ON_SERVER and not server:
        raise ConfigurationError(f"{format} keeps its records on a server: give --server URL")
    if server and format not in _ON_SERVER | _IN_EITHER:
        raise ConfigurationError(f"{format} keeps its sessions in the cookie: leave --server out")
    client = [_client(server)] if server else []
    try:
        return FORMATS[format](*client, **options)
    except TypeError as missing:
        raise ConfigurationError(f"{format} needs a secret in {VARIABLE}, or a --name") from missing


def _secret(text: str) -> str | bytes:
    if not text.startswith(BYTES):
        return text
    try:
        return b64decode(text.removeprefix(BYTES), validate=True)
    except ValueError:
        raise ConfigurationError(f"{VARIABLE} must be base64 after {BYTES!r}") from None


def _client(server: str) -> Any:
    """Return a plain client for a URL, or a Path."""
    scheme, colon, _ = server.partition("://")
    if not colon:
        return Path(server)
    if scheme in ("redis", "rediss", "unix"):
        from redis import Redis

        return Redis.from_url(server)
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError

    try:
        return create_engine(server)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "--server must be a URL of Redis or SQLAlchemy, or a path"
        ) from None

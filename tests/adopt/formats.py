"""The vectors that the real packages made, a reader for each, and a server with their records."""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from coatcheck import adopt
from coatcheck._session.adopted import Adopted, Refusal
from coatcheck.adopt.reader import Reader
from tests.engines import engine_in_memory

VECTORS: dict[str, dict[str, Any]] = {
    vector["id"]: vector
    for vector in json.loads((Path(__file__).parent / "vectors.json").read_text())["vectors"]
    if vector["format"] not in ("php", "dbsc")
}

PLAIN = {"user_id": 42, "name": "Ada Lövelace", "cart": [1, 2, {"q": 3}], "ok": True, "none": None}
"""What most of the vectors hold."""


class Records:
    """What is left of a client of Redis: two commands over the records of a vector, or others."""

    def __init__(self, records: Mapping[str, bytes], ttl: int | None = 3600) -> None:
        self.records = dict(records)
        self.ttl = ttl
        self.asked: list[str] = []

    def execute_command(self, command: str, key: str) -> Any:
        self.asked.append(key)
        if command == "DEL":
            return self.records.pop(key, None)
        if command == "GET":
            return self.records.get(key)
        return -1 if self.ttl is None else self.ttl * 1000


class AsyncRecords(Records):
    """The same, awaited."""

    async def execute_command(self, command: str, key: str) -> Any:
        return super().execute_command(command, key)


def records_of(vector: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the records of a vector by key."""
    return {each["key"]: base64.b64decode(each["value_base64"]) for each in vector.get("store", [])}


def client_of(vector: Mapping[str, Any], folder: Path | None = None) -> Any:
    """Return a client that leads to the records of a vector; None: they are in the cookie."""
    if not vector.get("store"):
        return None
    (there,) = vector["store"]
    if there["where"] == "table django_session":
        return django_table(records_of(vector), there["expires_at"])
    if there["where"] == "file":
        assert folder is not None
        (folder / there["key"]).write_bytes(records_of(vector)[there["key"]])
        return folder
    return Records(records_of(vector), there.get("ttl"))


def django_table(records: Mapping[str, bytes], expires_at: float) -> sa.Engine:
    """Return an engine to a database in memory with Django's table."""
    engine = engine_in_memory()
    with engine.begin() as connection:
        connection.execute(
            sa.text("CREATE TABLE django_session (session_key, session_data, expire_date)")
        )
        for key, data in records.items():
            connection.execute(
                sa.text(
                    "INSERT INTO django_session VALUES (:key, :data, datetime(:at,'unixepoch'))"
                ),
                {"key": key, "data": data.decode(), "at": expires_at},
            )
    return engine


def secrets_of(vector: Mapping[str, Any]) -> list[str | bytes]:
    """Return the secrets of a vector, as text or as raw bytes."""
    if "key_base64" in vector:
        return [base64.b64decode(vector["key_base64"])]
    return list(vector.get("secrets", []))


def reader_of(
    vector: Mapping[str, Any], client: Any = None, secrets: list[str | bytes] | None = None
) -> Reader:
    """Return the reader for a vector."""
    secrets = secrets_of(vector) if secrets is None else secrets
    make: dict[str, Callable[[], Reader]] = {
        "starlette": lambda: adopt.Starlette(secrets=secrets),
        "flask": lambda: adopt.Flask(secrets=secrets),
        "flask-session": lambda: adopt.FlaskSession(client, secrets=secrets),
        "django.signed_cookies": lambda: adopt.Django(secrets=secrets),
        "django.db": lambda: adopt.DjangoTable(client, secrets=secrets),
        "django.cache": lambda: adopt.DjangoCache(client),
        "django.cached_db": lambda: adopt.DjangoCache(client),
        "starsessions": lambda: adopt.Starsessions(client, secrets=secrets),
        "litestar": lambda: adopt.Litestar(client, secrets=secrets),
        "aiohttp-session": lambda: adopt.AiohttpSession(client, secrets=secrets, max_age=3600),
        "express": lambda: adopt.Express(client, secrets=secrets),
        "cookie-session": lambda: adopt.CookieSession(secrets=secrets),
        "beaker": lambda: adopt.Beaker(client, secrets=secrets, max_age=3600),
        "iron-session": lambda: adopt.IronSession(secrets=secrets, name="session"),
        "auth_js_jwe": lambda: adopt.AuthJs(secrets=secrets),
        "better_auth": lambda: adopt.BetterAuth(secrets=secrets),
        "rails": lambda: adopt.Rails(secrets=secrets, name="_app_session"),
    }
    return make[vector["format"]]()


def look(reader: Reader, cookies: Mapping[str, str], now: float) -> Adopted | Refusal | None:
    """Return what a plain reader finds."""
    found = reader.look(cookies, now)
    assert isinstance(found, Adopted | Refusal | None)
    return found


def reason(reader: Reader, cookies: Mapping[str, str], now: float) -> str:
    """Return why a reader refuses cookies."""
    found = look(reader, cookies, now)
    assert isinstance(found, Refusal), found
    return found.reason


def read(reader: Reader, cookies: Mapping[str, str], now: float) -> Adopted:
    """Return the session that a plain reader finds."""
    found = reader.read(cookies, now)
    assert isinstance(found, Adopted), look(reader, cookies, now)
    return found


def known(value: Any) -> Any:
    """Return a value of a vector as a session of ours holds it."""
    if isinstance(value, list):
        return list(map(known, value))
    if not isinstance(value, dict):
        return value
    if set(value) == {"$tuple"}:
        return list(map(known, value["$tuple"]))
    if set(value) == {"$bytes"}:
        return base64.b64decode(value["$bytes"])
    if set(value) <= {"$uuid", "$markup"}:
        return next(iter(value.values()))
    if set(value) == {"$datetime"}:
        return datetime.fromisoformat(value["$datetime"])
    return {key: known(each) for key, each in value.items()}

"""
The floor: the least that a signed cookie and a memory can cost in Python, written by hand.

It has none of coatcheck's promises: no deadline that is checked, no rotation, no refresh, no flash,
no nested change, no race, no header of another middleware that must survive. It shows what is left
to win, not what to use.
"""

import binascii
import hashlib
import hmac
from secrets import token_urlsafe
from typing import Any

import msgspec

from benchmarks import work
from benchmarks.subjects import ASGI, Subject

NAME = b"session="
TAIL = b"; Max-Age=%d; Path=/; Secure; HttpOnly; SameSite=Lax" % work.LIFE

pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(dict[str, Any]).decode

_pad = hashlib.sha256(work.SECRET.encode()).digest().ljust(64, b"\0")
_inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in _pad))
_outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in _pad))


def signature(text: bytes) -> bytes:
    """Return the HMAC of *text*, from two states that have taken the key in already."""
    inner, outer = _inner.copy(), _outer.copy()
    inner.update(text)
    outer.update(inner.digest())
    return binascii.b2a_base64(outer.digest(), newline=False)


def cookie_value(scope: Any) -> bytes | None:
    """Return the value of the one cookie, or None."""
    for name, value in scope["headers"]:
        if name == b"cookie":
            begin = value.find(NAME)
            if begin < 0:
                return None
            begin += len(NAME)
            end = value.find(b";", begin)
            found: bytes = value[begin:] if end < 0 else value[begin:end]
            return found
    return None


class FloorSession:
    """A session that is decoded when it is first used."""

    __slots__ = ("accessed", "data", "modified", "raw")

    def __init__(self, raw: bytes | None) -> None:
        self.raw = raw
        self.data: dict[str, Any] = {}
        self.accessed = self.modified = False

    def _load(self) -> None:
        self.accessed = True
        if self.raw:
            self.data, self.raw = unpack(self.raw), None

    def get(self, key: str) -> Any:
        if not self.accessed:
            self._load()
        return self.data.get(key)

    def __setitem__(self, key: str, value: Any) -> None:
        if not self.accessed:
            self._load()
        self.modified = True
        self.data[key] = value

    def keys(self) -> Any:
        self._load()
        return self.data.keys()

    def __getitem__(self, key: str) -> Any:
        return self.data[key]


class SignedCookie:
    """An ASGI application whose sessions travel in a signed cookie."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        session = scope["session"] = FloorSession(_opened(cookie_value(scope)))

        async def send_saved(message: Any) -> None:
            if session.accessed and message["type"] == "http.response.start":
                headers = message["headers"]
                headers.append((b"vary", b"Cookie"))
                if session.modified:
                    text = binascii.b2a_base64(pack(session.data), newline=False)
                    value = NAME + text + b"." + signature(text) + TAIL
                    headers.append((b"set-cookie", value))
            await send(message)

        await self.app(scope, receive, send_saved)


def _opened(value: bytes | None) -> bytes | None:
    if value is None:
        return None
    text, _, given = value.rpartition(b".")
    if not hmac.compare_digest(signature(text), given):
        return None
    return binascii.a2b_base64(text)


class Memory:
    """An ASGI application whose sessions stay in a dict; the cookie has a signed id."""

    def __init__(self, app: Any, records: dict[bytes, bytes]) -> None:
        self.app = app
        self.records = records

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        id = _verified(cookie_value(scope))
        key = hashlib.sha256(id).digest() if id else None
        session = scope["session"] = FloorSession(self.records.get(key) if key else None)

        async def send_saved(message: Any) -> None:
            if session.accessed and message["type"] == "http.response.start":
                headers = message["headers"]
                headers.append((b"vary", b"Cookie"))
                if session.modified:
                    self._save(session, key, headers)
            await send(message)

        await self.app(scope, receive, send_saved)

    def _save(self, session: FloorSession, key: bytes | None, headers: Any) -> None:
        if key is None:
            id = token_urlsafe(32).encode()
            key = hashlib.sha256(id).digest()
            headers.append((b"set-cookie", NAME + id + b"." + signature(id) + TAIL))
        self.records[key] = pack(session.data)


def _verified(value: bytes | None) -> bytes | None:
    if value is None:
        return None
    text, _, given = value.rpartition(b".")
    return text if hmac.compare_digest(signature(text), given) else None


def subjects() -> list[Subject]:
    """Return the floor's subjects."""
    records: dict[bytes, bytes] = {}
    return [
        Subject("floor", "floor, signed cookie", lambda handler: SignedCookie(ASGI[handler])),
        Subject("memory floor", "floor, memory", lambda handler: Memory(ASGI[handler], records)),
    ]

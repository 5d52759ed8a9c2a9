"""Cookies that Starlette's middleware would have set, made by hand at any time."""

import hashlib
import hmac
import json
from base64 import b64encode
from typing import Any

from coatcheck import adopt
from coatcheck._cookie.base64url import pack_base64url

SECRET = "a secret of the package that was there before"


def starlette(at: float, name: str = "old", **values: Any) -> str:
    """Return the Cookie header of a session of Starlette that was signed at a time."""
    payload = b64encode(json.dumps(values).encode()).decode()
    signed = f"{payload}.{pack_base64url(int(at).to_bytes(4, 'big'))}"
    key = hashlib.sha1(b"itsdangerous.Signersigner" + SECRET.encode(), usedforsecurity=False)
    mac = hmac.digest(key.digest(), signed.encode(), "sha1")
    return f"{name}={signed}.{pack_base64url(mac)}"


def reader(name: str = "old", **options: Any) -> adopt.Starlette:
    """Return the reader for them."""
    return adopt.Starlette(secrets=[SECRET], name=name, **options)

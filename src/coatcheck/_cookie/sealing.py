"""
Seal text, so that a browser can carry it but not change it.

    "k0lF…" + "." + "dGhl…"    signed: the text as it is, a dot, HMAC-SHA256 as unpadded base64url
    "q83v…"                    encrypted: nonce, ciphertext and tag of AES-256-GCM, as base64url

A signature keeps text honest, not secret: a client that holds the text can read it. Encryption
does both.

The first secret seals and every secret opens. To rotate, put the new secret first, and drop the old
one once the cookies that it sealed are older than their max_age.

Each secret becomes one key for one version, one purpose and one name, so a text that was sealed
for one use never opens in another. A seal does not say when it was made, and does not stop a client
from sending an old value again: deadlines are inside the value.

Pure: no clock, no state; the only thing from outside is the nonce.
"""

import hashlib
import hmac
from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from secrets import token_bytes
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from coatcheck._cookie import sha256 as digests
from coatcheck._cookie.base64url import pack_base64url, unpack_base64url
from coatcheck._cookie.hidden import Hidden
from coatcheck._cookie.weak import warn_of_weak
from coatcheck.errors import ConfigurationError

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

MAX_SEALED = 4096
"""Longer text is refused before any cryptography: no browser keeps such a cookie."""

SHORT_SECRET = 32
"""Characters below which a secret draws a warning: 16 random bytes as hex are 32."""

_SIGNATURE = 43  # characters: 32 bytes as unpadded base64url
_NONCE = 12  # bytes: NIST SP 800-38D, 5.2.1.1
_TAG = 16  # bytes

_TEXT, _BASE64URL = b"\x00", b"\x01"  # what an encrypted plaintext is made of

_TO_URL = bytes.maketrans(b"+/", b"-_")


class Opened(Hidden, msgspec.Struct, frozen=True, gc=False):
    """Text whose seal is valid; *stale*: an older secret made the seal, so a new one is due."""

    text: str
    stale: bool

    def __repr__(self) -> str:
        return f"<Opened stale={self.stale}>"


class Seal(Protocol):
    """Seals a cookie's value; `open` refuses a value that `seal` did not make."""

    def seal(self, text: str, /) -> str:
        """Return *text* sealed with the first secret: cookie-safe if *text* is."""

    def open(self, sealed: str, /) -> Opened | None:
        """Return what was sealed, or None. *sealed* comes from a client: it may be anything."""


class Signer:
    """Sign text that is cookie-safe. It stays readable, and becomes 44 characters longer."""

    def __init__(self, secrets: Sequence[str], *, purpose: str) -> None:
        self._keys = [_keyed_hashes(_derive(secret, f"sign {purpose}")) for secret in secrets]

    def seal(self, text: str) -> str:
        return f"{text}.{_signature(self._keys[0], text.encode())}"

    def open(self, sealed: str) -> Opened | None:
        if len(sealed) > MAX_SEALED or not sealed.isascii():
            return None
        text, dot, signature = sealed.rpartition(".")
        if not dot:
            return None
        data = text.encode()
        for key in self._keys:
            # Compared in base64url, so that only the canonical spelling of a signature passes.
            if hmac.compare_digest(_signature(key, data), signature):
                return Opened(text, key is not self._keys[0])
        return None


class Encrypter:
    """
    Encrypt any text.

    Text that is base64url, such as an id or a cookie session, is unpacked first, so it is not
    base64-encoded twice. Nonces are random: rotate the secret before it has sealed 2**32 values
    (NIST SP 800-38D, 8.3).
    """

    def __init__(self, secrets: Sequence[str], *, purpose: str) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as missing:
            raise ConfigurationError(
                "encrypt=True needs the package cryptography: pip install 'coatcheck[encrypt]'"
            ) from missing
        self._invalid = InvalidTag
        self._purpose = f"coatcheck 1 encrypt {purpose}".encode()
        self._ciphers = [AESGCM(_derive(secret, f"encrypt {purpose}")) for secret in secrets]

    def seal(self, text: str) -> str:
        packed = unpack_base64url(text)
        plain = _TEXT + text.encode() if packed is None else _BASE64URL + packed
        nonce = token_bytes(_NONCE)
        return pack_base64url(nonce + self._ciphers[0].encrypt(nonce, plain, self._purpose))

    def open(self, sealed: str) -> Opened | None:
        packed = unpack_base64url(sealed) if len(sealed) <= MAX_SEALED else None
        if packed is None or len(packed) <= _NONCE + _TAG:
            return None
        nonce, ciphertext = packed[:_NONCE], packed[_NONCE:]
        for age, cipher in enumerate(self._ciphers):
            try:
                plain = cipher.decrypt(nonce, ciphertext, self._purpose)
            except self._invalid:
                continue
            text = pack_base64url(plain[1:]) if plain[:1] == _BASE64URL else plain[1:].decode()
            return Opened(text, age > 0)
        return None


def checked_secrets(secrets: Sequence[str]) -> tuple[str, ...]:
    """
    Return *secrets* if they can seal anything.

    Raises:
        ConfigurationError: One is empty or no text, or they are one text instead of several.
    """
    if isinstance(secrets, str | bytes) or not isinstance(secrets, Iterable):
        got = "None" if secrets is None else f"one {type(secrets).__name__}"
        raise ConfigurationError(
            f'secrets must be a list of texts, got {got}: write secrets=[os.environ["…"]]; for '
            "no seal, leave it out"
        )
    secrets = tuple(secrets)
    for secret in secrets:
        if not isinstance(secret, str) or not secret:
            got = "an empty text" if secret == "" else f"a {type(secret).__name__} among them"
            raise ConfigurationError(
                f"secrets must be a list of texts, got {'None' if secret is None else got}: is the "
                "variable that holds the secret set?"
            )
        if len(secret) < SHORT_SECRET:
            warn_of_weak(
                f"a secret of {len(secret)} characters can be guessed: use {SHORT_SECRET} at "
                "least, made by secrets.token_urlsafe(32)",
            )
    return secrets


def _derive(secret: str, use: str) -> bytes:
    return hmac.digest(secret.encode(), f"coatcheck 1 {use}".encode(), "sha256")


class _Key(NamedTuple):
    """
    HMAC's two SHA-256 states with the key already in them (RFC 2104, 4), for two lengths of text.

    This runs on every request, and to copy both states is faster than `hmac.digest`. A test
    compares the two. Short texts have states of their own: see `sha256`.
    """

    short: "tuple[Hash, Hash]"
    long: "tuple[Hash, Hash]"


def _keyed_hashes(key: bytes) -> _Key:
    block = key.ljust(64, b"\0")
    inner, outer = (bytes(byte ^ pad for byte in block) for pad in (0x36, 0x5C))
    long = hashlib.sha256(inner), hashlib.sha256(outer)
    return _Key((digests.sha256(inner), digests.sha256(outer)), long)


def _signature(key: _Key, data: bytes) -> str:
    states = key.short if len(data) <= digests.SHORT else key.long
    inner, outer = states[0].copy(), states[1].copy()
    inner.update(data)
    outer.update(inner.digest())
    return b2a_base64(outer.digest(), newline=False).translate(_TO_URL)[:_SIGNATURE].decode()

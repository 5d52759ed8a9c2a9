"""
Verify the proof that a device holds a key: a JWS in the compact form, as a browser sends it.

    base64url(header) . base64url(payload) . base64url(signature)

    header     {"alg": "ES256", "typ": "dbsc+jwt"}, at registration with "jwk": the public key
    payload    {"jti": challenge}, at registration with "authorization"

ES256 and RS256 are known, and no other algorithm. After the registration the key decides which one
counts, and a key in the header is refused. Each part has one spelling. A proof tells no time: the
challenge alone makes it fresh, and `binding` judges that.

Pure: texts and bytes in, a value out. What a client sends never raises.

Source: RFC 7515 (JWS), RFC 7518 (ES256, RS256, EC and RSA keys), W3C Device Bound Session
Credentials, "DBSC Proof JWT Syntax".
"""

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from coatcheck._cookie.base64url import unpack_base64url
from coatcheck._cookie.hidden import Hidden
from coatcheck._session.values import CORRUPT
from coatcheck.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    PublicKey = EllipticCurvePublicKey | RSAPublicKey

MAX_PROOF = 4096
"""Characters that a proof may have: one with an RSA key of 4096 bits has about 1,600."""

SMALLEST_RSA, LARGEST_RSA = 2048, 4096
"""Bits of an RSA key: a smaller one is weak, a larger one costs time."""

RSA_EXPONENT = 65537

COORDINATE = 32
"""Bytes of a coordinate of a key on P-256, and of each half of its signature."""

_CHARACTERS_OF_S = 44
"""At the end of a proof: those that hold the second half of its signature, or bits of it."""

Flaw = Literal["malformed", "algorithm", "type", "key", "signature"]
"""
What is wrong with a proof: its form; an algorithm that is not known, or not that of the key; its
`typ`; a key that is missing, too weak or out of place; the signature.
"""


class Proof(Hidden, msgspec.Struct, frozen=True):
    """
    A proof whose signature holds.

    Args:
        key: The public key that verified it, as SubjectPublicKeyInfo in DER.
        challenge: The challenge that it signs.
        authorization: What the registration asked to have signed, too; "": nothing.
    """

    key: bytes
    challenge: str
    authorization: str


def mark_of(jws: str) -> str:
    """
    Return what tells a proof from every other one of the same key.

    The end of it is left out: from a signature (r, s) of ES256 everyone can make (r, n - s), which
    fits, too. An r is never used twice.
    """
    return jws[:-_CHARACTERS_OF_S]


class Proofs:
    """
    The verification of proofs.

    Raises:
        ConfigurationError: The package cryptography is missing.
    """

    def __init__(self) -> None:
        try:
            from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
            from cryptography.hazmat.primitives import hashes, serialization
            from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
        except ImportError as missing:
            raise ConfigurationError(
                "bound needs the package cryptography: pip install 'coatcheck[bound]'"
            ) from missing
        self._ec, self._rsa, self._utils = ec, rsa, utils
        self._serialization = serialization
        self._sha256, self._pkcs1 = hashes.SHA256(), padding.PKCS1v15()
        self._wrong = (InvalidSignature, UnsupportedAlgorithm, ValueError)

    def registering(self, jws: str) -> Proof | Flaw:
        """Return a proof that brings its key in its header, or what is wrong with it."""
        parts = _parts_of(jws)
        if isinstance(parts, str):
            return parts
        if parts.header.jwk is msgspec.UNSET:
            return "key"
        key = self._key_in(parts.header.jwk)
        if key is None:
            return "key"
        flaw = self._flaw(parts, key)
        return flaw or _proof(parts, self._packed(key))

    def holding(self, jws: str, key: bytes) -> Proof | Flaw:
        """
        Return a proof of a device whose key is known, or what is wrong with it.

        Args:
            key: As `registering` returned it.
        """
        parts = _parts_of(jws)
        if isinstance(parts, str):
            return parts
        if parts.header.jwk is not msgspec.UNSET:
            return "key"
        known: Any = self._serialization.load_der_public_key(key)
        return self._flaw(parts, known) or _proof(parts, key)

    def _flaw(self, parts: "_Parts", key: "PublicKey") -> Flaw | None:
        """Return what is wrong with a proof of that key; None: nothing."""
        of_curve = isinstance(key, self._ec.EllipticCurvePublicKey)
        if parts.header.alg != ("ES256" if of_curve else "RS256"):
            return "algorithm"
        if parts.header.typ != "dbsc+jwt":
            return "type"
        try:
            if isinstance(key, self._ec.EllipticCurvePublicKey):
                if len(parts.signature) != 2 * COORDINATE:
                    return "signature"
                r, s = map(_number, (parts.signature[:COORDINATE], parts.signature[COORDINATE:]))
                encoded = self._utils.encode_dss_signature(r, s)
                key.verify(encoded, parts.signed, self._ec.ECDSA(self._sha256))
            else:
                key.verify(parts.signature, parts.signed, self._pkcs1, self._sha256)
        except self._wrong:
            return "signature"
        return None

    def _key_in(self, jwk: "_Jwk") -> "PublicKey | None":
        """Return the key that a header brings; None: it is none, or too weak."""
        try:
            if jwk.kty == "EC" and jwk.crv == "P-256":
                x, y = unpack_base64url(jwk.x), unpack_base64url(jwk.y)
                if x is None or y is None or len(x) != COORDINATE or len(y) != COORDINATE:
                    return None
                curve = self._ec.SECP256R1()
                return self._ec.EllipticCurvePublicNumbers(
                    _number(x), _number(y), curve
                ).public_key()
            n, e = unpack_base64url(jwk.n), unpack_base64url(jwk.e)
            if jwk.kty != "RSA" or n is None or e is None or _number(e) != RSA_EXPONENT:
                return None
            modulus = _number(n)
            if not SMALLEST_RSA <= modulus.bit_length() <= LARGEST_RSA:
                return None
            return self._rsa.RSAPublicNumbers(RSA_EXPONENT, modulus).public_key()
        except self._wrong:
            return None

    def _packed(self, key: "PublicKey") -> bytes:
        form = self._serialization
        return key.public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)


class _Jwk(Hidden, msgspec.Struct):
    """The public key in a header: RFC 7518, 6.2.1 and 6.3.1."""

    kty: str
    crv: str = ""
    x: str = ""
    y: str = ""
    n: str = ""
    e: str = ""


class _Header(Hidden, msgspec.Struct):
    alg: str
    typ: str
    jwk: _Jwk | msgspec.UnsetType = msgspec.UNSET
    crit: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Payload(Hidden, msgspec.Struct):
    jti: str
    authorization: str = ""


class _Parts(Hidden, msgspec.Struct, frozen=True):
    """A proof in its parts; *signed* are the first two, as they were sent."""

    header: _Header
    payload: _Payload
    signed: bytes
    signature: bytes


def _parts_of(jws: str) -> _Parts | Flaw:
    """Return the parts of a proof, nothing verified yet."""
    texts = jws.split(".") if len(jws) <= MAX_PROOF else []
    data = [unpack_base64url(text) for text in texts]
    if len(data) != 3 or not all(data):
        return "malformed"
    try:
        header = _header_decoder.decode(data[0] or b"")
        payload = _payload_decoder.decode(data[1] or b"")
    except CORRUPT:
        return "malformed"
    if header.crit is not msgspec.UNSET:  # RFC 7515, 4.1.11: what must be understood, and is not
        return "malformed"
    return _Parts(header, payload, ".".join(texts[:2]).encode(), data[2] or b"")


def _proof(parts: _Parts, key: bytes) -> Proof:
    return Proof(key, parts.payload.jti, parts.payload.authorization)


def _number(data: bytes) -> int:
    return int.from_bytes(data)


_header_decoder = msgspec.json.Decoder(_Header)
_payload_decoder = msgspec.json.Decoder(_Payload)

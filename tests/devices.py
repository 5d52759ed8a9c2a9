"""A browser's part in binding a session: a key, and what it signs."""

import json
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from coatcheck._cookie.base64url import pack_base64url


def number(value: int, size: int | None = None) -> str:
    """Return a number as a JWK writes it."""
    return pack_base64url(value.to_bytes(size or (value.bit_length() + 7) // 8))


@dataclass
class Key:
    """
    A private key in a device.

    Args:
        private: P-256, or RSA.
    """

    private: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def alg(self) -> str:
        return "RS256" if isinstance(self.private, rsa.RSAPrivateKey) else "ES256"

    @property
    def jwk(self) -> dict[str, str]:
        """The public key, as the header of a registration has it."""
        public = self.private.public_key().public_numbers()
        if self.alg == "RS256":
            return {"kty": "RSA", "n": number(public.n), "e": number(public.e)}
        return {"kty": "EC", "crv": "P-256", "x": number(public.x, 32), "y": number(public.y, 32)}

    def sign(self, header: Any, payload: Any) -> str:
        """Return a JWS over any header and payload."""
        signed = ".".join(pack_base64url(json.dumps(part).encode()) for part in (header, payload))
        if self.alg == "RS256":
            signature = self.private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        else:
            der = self.private.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
            signature = b"".join(part.to_bytes(32) for part in decode_dss_signature(der))
        return f"{signed}.{pack_base64url(signature)}"

    def registers(self, challenge: str, authorization: str, **header: Any) -> str:
        """Return the proof of a registration."""
        payload = {"jti": challenge, "authorization": authorization}
        return self.sign({"alg": self.alg, "jwk": self.jwk, "typ": "dbsc+jwt", **header}, payload)

    def refreshes(self, challenge: str, **header: Any) -> str:
        """Return the proof of a refresh."""
        return self.sign({"alg": self.alg, "typ": "dbsc+jwt", **header}, {"jti": challenge})


def rsa_key(bits: int = 2048) -> Key:
    """Return a key of the other kind."""
    return Key(rsa.generate_private_key(65537, bits))

"""Certificates of one authority, for servers that have the right name and for one that has not."""

import datetime
import ipaddress
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

RIGHT, WRONG = "127.0.0.1", "127.0.0.2"


class Certificate(NamedTuple):
    """Files of a certificate, its key, and the authority's certificate."""

    certificate: Path
    key: Path
    authority: Path


class Authority:
    """An authority whose certificates are good for a day."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])
        may_sign = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        made = (
            self._begun(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(may_sign, critical=True)
        )
        self._file = folder / "authority.pem"
        self._file.write_bytes(self._signed(made))

    def certificate(self, address: str) -> Certificate:
        """Return a certificate for that address of this machine."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
        place = x509.IPAddress(ipaddress.ip_address(address))
        made = self._begun(name, key).add_extension(
            x509.SubjectAlternativeName([place]), critical=False
        )
        files = [self._folder / f"{address}.{kind}" for kind in ("pem", "key")]
        files[0].write_bytes(self._signed(made))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return Certificate(files[0], files[1], self._file)

    def _begun(self, name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        """Begin a certificate with what Python 3.13 asks for: the names of both keys."""
        now = datetime.datetime.now(datetime.UTC)
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(own, critical=False)
            .add_extension(authority, critical=False)
        )

    def _signed(self, made: x509.CertificateBuilder) -> bytes:
        return made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def owned_by(found: Certificate, user: str) -> Certificate:
    """Let a server that runs as that user read the key, and nobody else."""
    shutil.chown(found.key, user)
    found.key.chmod(0o600)
    return found


@contextmanager
def short_folder() -> Iterator[Path]:
    """Make a folder that other users may enter, with a path that is short enough for sockets."""
    with TemporaryDirectory(prefix="coatcheck-") as found:
        folder = Path(found)
        folder.chmod(0o755)
        yield folder

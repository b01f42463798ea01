"""The root certificate of a swarm as X.509. `docker swarm ca`, TLS info and join tokens show it or its digest.

The certificate is made with the `cryptography` package. If the package is missing, the authority has only a digest;
everything else works the same. Source: moby/swarmkit `ca/certificates.go` (CreateRootCA), cfssl `initca`; RFC 5280.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from importlib.util import find_spec

from attrs import frozen

ROOT_NAME = "swarm-ca"
_EXPIRY = timedelta(seconds=630_720_000)
_BACKDATE = timedelta(minutes=5)
_SERIAL_BITS = 159
#: The first version with `ecdsa_deterministic`. Older versions would print different certificates in two runs of a
#: lab.
_OLDEST_CRYPTOGRAPHY = 45
#: Order of the curve P-256 (FIPS 186-5).
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@frozen
class RootCertificate:
    """A self-signed certificate in PEM, and its subject and public key in DER."""

    pem: str
    subject: bytes
    public_key: bytes

    @property
    def digest(self) -> str:
        """The SHA-256 of the PEM text in hexadecimal. Join tokens contain it to identify the authority."""
        return sha256(self.pem.encode()).hexdigest()


@cache
def is_available() -> bool:
    """Return True if `cryptography` 45 or newer is installed; older versions cannot sign deterministically."""
    if find_spec("cryptography") is None:
        return False
    from cryptography import __version__

    return int(__version__.partition(".")[0]) >= _OLDEST_CRYPTOGRAPHY


def root_certificate(seed: int, wall_s: float) -> RootCertificate:
    """Create a root certificate that is valid for 20 years from `wall_s` (seconds since 1970).

    Its key is derived from `seed`.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = ec.derive_private_key(seed % (_ORDER - 1) + 1, ec.SECP256R1())
    # Go encodes the name as a PrintableString; `docker info` shows the issuer's DER.
    printable = x509.name._ASN1Type.PrintableString
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, ROOT_NAME, _type=printable)])
    serial = int(sha256(b"%d" % seed).hexdigest(), 16) >> (256 - _SERIAL_BITS) | 1
    begins = datetime.fromtimestamp(wall_s, UTC).replace(second=0, microsecond=0) - _BACKDATE
    usage = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "encipher_only", "decipher_only"),
        False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), serial)
        .not_valid_before(begins)
        .not_valid_after(begins + _EXPIRY)
        .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    )
    return RootCertificate(
        certificate.public_bytes(Encoding.PEM).decode(),
        name.public_bytes(),
        key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    )

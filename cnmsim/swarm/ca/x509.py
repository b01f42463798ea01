"""The certificates of a swarm as X.509: those of the root and of the nodes, and cross-signed ones for a new root.

`docker swarm ca`, TLS info and join tokens show the root certificate or its digest; each node has its own certificate
on disk. The certificates are made with the `cryptography` package. Without that package the authority has only a
digest, and everything else works the same. Source: moby/swarmkit `ca/{certificates,keyreadwriter}.go`, cfssl
`initca`; RFC 5280, RFC 8018.
"""

from __future__ import annotations

from base64 import encodebytes
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import pbkdf2_hmac, sha256
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, TypeAlias

from attrs import frozen

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

ROOT_NAME = "swarm-ca"
_EXPIRY = timedelta(seconds=630_720_000)
_BACKDATE = timedelta(minutes=5)
#: An X.509 serial number: up to 20 octets (RFC 5280, 4.1.2.2).
Serial: TypeAlias = Annotated[int, "serial number"]
_SERIAL_BITS = 159
#: The first version with `ecdsa_deterministic`. Older versions would print different certificates in two runs of a
#: lab.
_OLDEST_CRYPTOGRAPHY = 45
#: Object identifiers of RFC 8018 and NIST in DER, and the rounds of PBKDF2.
_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_PBKDF2 = bytes.fromhex("06092a864886f70d01050c")
_AES_256_CBC = bytes.fromhex("060960864801650304012a")
_ROUNDS = 2048
#: The order of the elliptic curve P-256 (FIPS 186-5).
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
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = _key(seed)
    return RootCertificate(
        _root_pem(key, key, seed, round_to_minute(wall_s)),
        _name(COMMON_NAME=ROOT_NAME).public_bytes(),
        key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    )


def cross_certificate(seed: int, pem: str, signer_seed: int) -> str:
    """Return a copy of a root certificate, as PEM, that is signed by another root.

    `pem` is the root certificate; its key is derived from `seed`. The key of the signing root is derived from
    `signer_seed`.
    """
    from cryptography.x509 import load_pem_x509_certificate

    begins = load_pem_x509_certificate(pem.encode()).not_valid_before_utc + _BACKDATE
    return _root_pem(_key(seed), _key(signer_seed), seed, begins.timestamp())


def node_certificate(
    root_seed: int, serial: int, names: tuple[str, str, str], not_before_s: float, not_after_s: float
) -> str:
    """Return a node's certificate as PEM. `names` are its organization (O), role (OU) and node id (CN).

    The node's key is derived from `serial`, the key of the signing root from `root_seed`. `not_before_s` and
    `not_after_s` are seconds since 1970.
    """
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    root, key = _key(root_seed), _node_key(serial)
    organization, role, node_id = names
    hosts = [role, node_id, *([ROOT_NAME] if role == "swarm-manager" else [])]
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    return _sign(
        x509.CertificateBuilder(
            _name(COMMON_NAME=ROOT_NAME),
            _name(ORGANIZATION_NAME=organization, ORGANIZATIONAL_UNIT_NAME=role, COMMON_NAME=node_id),
            key.public_key(),
            serial,
            datetime.fromtimestamp(not_before_s, UTC),
            datetime.fromtimestamp(not_after_s, UTC),
        )
        .add_extension(_key_usage("digital_signature", "key_encipherment"), critical=True)
        .add_extension(usage, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False),
        root,
    )


def node_key(serial: int, kek: bytes = b"", kek_version: int = 0) -> str:
    """Return a node's private key as PEM (PKCS #8). `serial` is the serial number of the node's certificate.

    In a swarm with autolock, `kek` is the key that encrypts the result and `kek_version` the cluster's version; with
    an empty `kek` the result is not encrypted.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    der = _node_key(serial).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    label = "ENCRYPTED PRIVATE KEY" if kek else "PRIVATE KEY"
    body = encodebytes(_encrypt(der, kek, serial) if kek else der).replace(b"\n", b"").decode()
    lines = "".join(f"{body[at : at + 64]}\n" for at in range(0, len(body), 64))
    return f"-----BEGIN {label}-----\nkek-version: {kek_version}\n\n{lines}-----END {label}-----\n"


def round_to_minute(wall_s: float) -> float:
    """Return a time in seconds, rounded to the nearest minute, as cfssl rounds a certificate's start of validity."""
    return (wall_s + 30) // 60 * 60.0


def _key(seed: int) -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.derive_private_key(seed % (_ORDER - 1) + 1, ec.SECP256R1())


def _node_key(serial: int) -> EllipticCurvePrivateKey:
    return _key(int.from_bytes(sha256(b"node key %d" % serial).digest()))


def _name(**attributes: str) -> x509.Name:
    from cryptography import x509

    # Go encodes names as PrintableString; `docker info` shows the issuer's DER.
    printable = x509.name._ASN1Type.PrintableString
    return x509.Name(
        [x509.NameAttribute(getattr(x509.NameOID, kind), text, _type=printable) for kind, text in attributes.items()]
    )


def _key_usage(*usages: str) -> x509.KeyUsage:
    from cryptography import x509

    kinds = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{kind: kind in usages for kind in kinds})


def _root_pem(key: EllipticCurvePrivateKey, signer: EllipticCurvePrivateKey, seed: int, rounded_s: float) -> str:
    from cryptography import x509

    name = _name(COMMON_NAME=ROOT_NAME)
    serial = int.from_bytes(sha256(b"%d" % seed).digest()) >> (256 - _SERIAL_BITS) | 1
    begins = datetime.fromtimestamp(rounded_s, UTC) - _BACKDATE
    return _sign(
        x509.CertificateBuilder(name, name, key.public_key(), serial, begins, begins + _EXPIRY)
        .add_extension(_key_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False),
        signer,
    )


def _sign(builder: x509.CertificateBuilder, key: EllipticCurvePrivateKey) -> str:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True).public_bytes(Encoding.PEM).decode()


def _encrypt(der: bytes, password: bytes, serial: int) -> bytes:
    """Return a PKCS #8 key encrypted by PBES2 with PBKDF2 and AES-256-CBC (RFC 8018), as SwarmKit does.

    Salt and initialisation vector are derived from `serial`, not taken from the system's random numbers, so that two
    runs of a lab give the same result.
    """
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7

    random = sha256(b"encryption %d" % serial).digest()
    salt, vector = random[:8], random[8:24]
    cipher = Cipher(algorithms.AES(pbkdf2_hmac("sha1", password, salt, _ROUNDS, 32)), modes.CBC(vector)).encryptor()
    padder = PKCS7(128).padder()
    data = cipher.update(padder.update(der) + padder.finalize()) + cipher.finalize()
    derivation = _der(0x30, _PBKDF2, _der(0x30, _der(4, salt), _der(2, _ROUNDS.to_bytes(2, "big"))))
    scheme = _der(0x30, _PBES2, _der(0x30, derivation, _der(0x30, _AES_256_CBC, _der(4, vector))))
    return _der(0x30, scheme, _der(4, data))


def _der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    length = (
        bytes([size])
        if size < 128
        else bytes([0x80 | (size.bit_length() + 7) // 8]) + size.to_bytes((size.bit_length() + 7) // 8, "big")
    )
    return bytes([tag]) + length + content

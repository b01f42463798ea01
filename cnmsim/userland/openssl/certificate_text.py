"""The text of X.509 certificates as `openssl x509` of OpenSSL 3.5 prints it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

_ATTRIBUTES = {
    "2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
    "2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.42": "GN",
    "0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
    "1.2.840.113549.1.9.1": "emailAddress",
}  # fmt: skip
_KEY_USAGES = {
    "digital_signature": "Digital Signature", "content_commitment": "Non Repudiation",
    "key_encipherment": "Key Encipherment", "data_encipherment": "Data Encipherment",
    "key_agreement": "Key Agreement", "key_cert_sign": "Certificate Sign", "crl_sign": "CRL Sign",
}  # fmt: skip
_PURPOSES = {
    "1.3.6.1.5.5.7.3.1": "TLS Web Server Authentication", "1.3.6.1.5.5.7.3.2": "TLS Web Client Authentication",
    "1.3.6.1.5.5.7.3.3": "Code Signing", "1.3.6.1.5.5.7.3.4": "E-mail Protection",
    "1.3.6.1.5.5.7.3.8": "Time Stamping", "1.3.6.1.5.5.7.3.9": "OCSP Signing",
    "2.5.29.37.0": "Any Extended Key Usage",
}  # fmt: skip
#: The names of extensions in a listing, and the names that select them with -ext.
EXTENSIONS = {
    "2.5.29.14": ("X509v3 Subject Key Identifier", "subjectKeyIdentifier"),
    "2.5.29.15": ("X509v3 Key Usage", "keyUsage"),
    "2.5.29.17": ("X509v3 Subject Alternative Name", "subjectAltName"),
    "2.5.29.19": ("X509v3 Basic Constraints", "basicConstraints"),
    "2.5.29.35": ("X509v3 Authority Key Identifier", "authorityKeyIdentifier"),
    "2.5.29.37": ("X509v3 Extended Key Usage", "extendedKeyUsage"),
}
_CURVES = {
    "secp256r1": ("prime256v1", "P-256"),
    "secp384r1": ("secp384r1", "P-384"),
    "secp521r1": ("secp521r1", "P-521"),
}


def name_text(name: x509.Name) -> str:
    """Format a distinguished name, e.g. `C=DE, O=Example, CN=host`."""
    return ", ".join(
        " + ".join(
            f"{_ATTRIBUTES.get(part.oid.dotted_string, part.oid.dotted_string)}={part.value!s}"
            for part in rdn
        )
        for rdn in name.rdns
    )  # fmt: skip


def date_text(moment: datetime, *, is_iso: bool = False) -> str:
    """Format a time, e.g. `Dec  1 20:51:00 2026 GMT`, or with `is_iso` e.g. `2026-12-01 20:51:00Z`."""
    if is_iso:
        return f"{moment:%Y-%m-%d %H:%M:%SZ}"
    return f"{moment:%b} {moment.day:2d} {moment:%H:%M:%S %Y} GMT"


def colons(data: bytes, *, upper: bool = True) -> str:
    """Format bytes in hexadecimal, separated by colons; `upper` selects upper-case digits."""
    text = data.hex(":")
    return text.upper() if upper else text


def certificate_text(certificate: x509.Certificate) -> str:
    """Format a whole certificate as the option -text does."""
    serial = certificate.serial_number
    algorithm = certificate.signature_algorithm_oid._name
    lines = [
        "Certificate:",
        "    Data:",
        f"        Version: {certificate.version.value + 1} ({certificate.version.value:#x})",
        *_serial_lines(serial),
        f"        Signature Algorithm: {algorithm}",
        f"        Issuer: {name_text(certificate.issuer)}",
        "        Validity",
        f"            Not Before: {date_text(certificate.not_valid_before_utc)}",
        f"            Not After : {date_text(certificate.not_valid_after_utc)}",
        f"        Subject: {name_text(certificate.subject)}",
        "        Subject Public Key Info:",
        f"            Public Key Algorithm: {_key_algorithm(certificate)}",
        *(" " * 16 + line for line in _key_lines(certificate)),
    ]
    if len(certificate.extensions):
        lines.append("        X509v3 extensions:")
        lines += [" " * 12 + line for extension in certificate.extensions for line in extension_lines(extension)]
    lines += [f"    Signature Algorithm: {algorithm}", "    Signature Value:"]
    lines += [" " * 8 + line for line in _wrapped(certificate.signature, 18)]
    return "".join(f"{line}\n" for line in lines)


def _serial_lines(serial: int) -> list[str]:
    if serial.bit_length() < 64:
        return [f"        Serial Number: {serial} ({serial:#x})"]
    data = serial.to_bytes((serial.bit_length() + 7) // 8, "big")
    return ["        Serial Number:", f"            {colons(data, upper=False)}"]


def _wrapped(data: bytes, width: int) -> list[str]:
    rows = [colons(data[at : at + width], upper=False) for at in range(0, len(data), width)]
    return [f"{row}:" for row in rows[:-1]] + rows[-1:]


def _key_algorithm(certificate: x509.Certificate) -> str:
    name = certificate.public_key_algorithm_oid._name
    return {"ecPublicKey": "id-ecPublicKey", "ed25519": "ED25519"}.get(name, name)


def _key_lines(certificate: x509.Certificate) -> list[str]:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        name, nist = _CURVES.get(key.curve.name, (key.curve.name, ""))
        point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return [
            f"Public-Key: ({key.key_size} bit)",
            "pub:",
            *(f"    {row}" for row in _wrapped(point, 15)),
            f"ASN1 OID: {name}",
            *([f"NIST CURVE: {nist}"] if nist else []),
        ]
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        modulus = numbers.n.to_bytes(numbers.n.bit_length() // 8 + 1, "big")
        return [
            f"Public-Key: ({key.key_size} bit)",
            "Modulus:",
            *(f"    {row}" for row in _wrapped(modulus, 15)),
            f"Exponent: {numbers.e} ({numbers.e:#x})",
        ]
    raw = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)[-32:]
    return [f"{_key_algorithm(certificate)} Public-Key:", "pub:", *(f"    {row}" for row in _wrapped(raw, 15))]


def extension_lines(extension: x509.Extension[x509.ExtensionType]) -> list[str]:
    """Return the lines of an extension: its name, and its value indented by four spaces."""
    name = EXTENSIONS.get(extension.oid.dotted_string, (extension.oid.dotted_string,))[0]
    critical = "critical" if extension.critical else ""
    return [f"{name}: {critical}", f"    {_value(extension.value)}"]


def _value(value: x509.ExtensionType) -> str:
    from cryptography import x509

    match value:
        case x509.BasicConstraints():
            length = "" if value.path_length is None else f", pathlen:{value.path_length}"
            return f"CA:{str(value.ca).upper()}{length}"
        case x509.KeyUsage():
            usages = [text for kind, text in _KEY_USAGES.items() if getattr(value, kind)]
            if value.key_agreement:
                usages += ["Encipher Only"] * value.encipher_only + ["Decipher Only"] * value.decipher_only
            return ", ".join(usages)
        case x509.ExtendedKeyUsage():
            return ", ".join(_PURPOSES.get(oid.dotted_string, oid.dotted_string) for oid in value)
        case x509.SubjectKeyIdentifier():
            return colons(value.digest)
        case x509.AuthorityKeyIdentifier():
            return colons(value.key_identifier or b"")
        case x509.SubjectAlternativeName():
            return ", ".join(_general_name(name) for name in value)
    return "<not simulated>"


def _general_name(name: x509.GeneralName) -> str:
    from cryptography import x509

    match name:
        case x509.DNSName():
            return f"DNS:{name.value}"
        case x509.RFC822Name():
            return f"email:{name.value}"
        case x509.UniformResourceIdentifier():
            return f"URI:{name.value}"
        case x509.IPAddress():
            if name.value.version == 4:
                return f"IP Address:{name.value}"
            groups = (f"{int(group, 16):X}" for group in str(name.value.exploded).split(":"))
            return f"IP Address:{':'.join(groups)}"
    return "othername: <unsupported>"

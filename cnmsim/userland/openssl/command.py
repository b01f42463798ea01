"""The `openssl` command of OpenSSL 3.5: `openssl x509` and `openssl version`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel.errno_text import strerror
from cnmsim.swarm.ca import x509 as certificates
from cnmsim.userland.invocation import absolute_path, read_all
from cnmsim.userland.openssl.certificate_text import (
    EXTENSIONS,
    certificate_text,
    colons,
    date_text,
    extension_lines,
    name_text,
)

if TYPE_CHECKING:
    from cryptography import x509

    from cnmsim.kernel.process import Process

_VERSION = "OpenSSL 3.5.4 30 Sep 2025 (Library: OpenSSL 3.5.4 30 Sep 2025)\n"
_PRINTED = {"text", "subject", "issuer", "startdate", "enddate", "dates", "serial", "fingerprint", "pubkey", "ext"}
_DIGESTS = {"sha1", "sha224", "sha256", "sha384", "sha512", "md5"}
_WITH_VALUE = {"in", "out", "inform", "outform", "dateopt", "checkend", "ext"}
_NOT_SIMULATED = {
    "asn1parse", "ca", "ciphers", "cms", "crl", "dgst", "dhparam", "ec", "ecparam", "enc", "genpkey", "genrsa",
    "passwd", "pkcs12", "pkcs7", "pkey", "rand", "req", "rsa", "s_client", "s_server", "s_time", "speed", "verify",
}  # fmt: skip


async def main(process: Process) -> int:
    """Run `openssl x509 [-in FILE] [-text] [-subject] [-issuer] [-dates] [-fingerprint] [-noout]`, `openssl version`.

    Other commands are refused.
    """
    name, *arguments = process.argv[1:] or ["help"]
    if name == "x509":
        return await _x509(process, arguments)
    if name == "version":
        process.write(_VERSION)
        return 0
    if name in _NOT_SIMULATED:
        process.error(f"openssl: {name} is not simulated; x509 is\n")
    else:
        process.error(f"Invalid command '{name}'; type \"help\" for a list.\n")
    return 1


async def _x509(process: Process, arguments: list[str]) -> int:
    printed: list[str] = []
    values: dict[str, str] = {}
    flags: set[str] = set()
    words = iter(arguments)
    for word in words:
        option = word.removeprefix("-").removeprefix("-")
        if option in _WITH_VALUE:
            value = next(words, None)
            if value is None:
                process.error(f"x509: Option -{option} needs a value\nx509: Use -help for summary.\n")
                return 1
            values[option] = value
        elif option not in _PRINTED | _DIGESTS | {"noout"} or word == option:
            fault = f'Extra option: "{word}"' if word == option else f"Unknown option or message digest: {option}"
            process.error(f"x509: {fault}\nx509: Use -help for summary.\n")
            return 1
        flags.add(option)
        for item in ("startdate", "enddate") if option == "dates" else (option,):
            if item in _PRINTED:  # a repeated option is printed at its last place
                printed = [*(other for other in printed if other != item), item]
    if "checkend" in values and not is_number(values["checkend"].lstrip("-")):
        process.error(f'x509: Can\'t parse "{values["checkend"]}" as a number\nx509: Use -help for summary.\n')
        return 1
    certificate = await _load(process, values.get("in"))
    if certificate is None:
        return 1
    digest = next((option for option in flags if option in _DIGESTS), "")
    for item in printed:
        process.write(_item(certificate, item, values, digest))
    if "checkend" in values:
        expires = certificate.not_valid_after_utc.timestamp() <= process.clock.wall_s + int(values["checkend"])
        process.write(f"Certificate will {'' if expires else 'not '}expire\n")
        return int(expires)
    if "noout" not in flags:
        _write_pem(process, certificate, values.get("out"))
    return 0


async def _load(process: Process, path: str | None) -> x509.Certificate | None:
    if not certificates.is_available():
        process.error(
            "openssl: certificates are not simulated: the package cryptography 45 or newer is not installed\n"
        )
        return None
    try:
        if path is None:
            data = await read_all(process.stdin)
        else:
            data = process.files.read(absolute_path(process, path))
    except OSError as error:
        process.error(f"Could not open file or uri for loading certificate from {path}: {strerror(error)}\n")
        return None
    from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificate

    try:
        return load_pem_x509_certificate(data) if b"-----BEGIN" in data else load_der_x509_certificate(data)
    except ValueError:
        process.error(f"Could not find certificate from {'<stdin>' if path is None else path}\n")
        return None


def _item(certificate: x509.Certificate, item: str, values: dict[str, str], digest: str) -> str:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    is_iso = values.get("dateopt") == "iso_8601"
    match item:
        case "text":
            return certificate_text(certificate)
        case "subject":
            return f"subject={name_text(certificate.subject)}\n"
        case "issuer":
            return f"issuer={name_text(certificate.issuer)}\n"
        case "startdate":
            return f"notBefore={date_text(certificate.not_valid_before_utc, is_iso=is_iso)}\n"
        case "enddate":
            return f"notAfter={date_text(certificate.not_valid_after_utc, is_iso=is_iso)}\n"
        case "serial":
            text = f"{certificate.serial_number:X}"
            return f"serial={text.rjust(len(text) + len(text) % 2, '0')}\n"
        case "fingerprint":
            algorithm = getattr(hashes, (digest or "sha1").upper())()
            return f"{digest or 'SHA1'} Fingerprint={colons(certificate.fingerprint(algorithm))}\n"
        case "pubkey":
            key = certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            return key.decode()
    selected = values["ext"].split(",")
    lines = [
        line
        for extension in certificate.extensions
        if EXTENSIONS.get(extension.oid.dotted_string, ("", ""))[1] in selected
        for line in extension_lines(extension)
    ]
    return "".join(f"{line}\n" for line in lines) or "No extensions in certificate\n"


def _write_pem(process: Process, certificate: x509.Certificate, path: str | None) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding

    pem = certificate.public_bytes(Encoding.PEM)
    if path is None:
        process.write(pem)
    else:
        process.files.write(absolute_path(process, path), pem)

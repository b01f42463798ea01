"""ESP with AES-GCM (RFC 4303, RFC 4106): encryption and decryption of one packet's payload.

The `cryptography` package implements the cipher; it is required only where encryption is used.
"""

from __future__ import annotations

import errno
from functools import cache
from hmac import compare_digest
from struct import Struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SALT_LENGTH = 4
IV_LENGTH = 8
HEADER_LENGTH = 8
#: The bytes that ESP with a 64-bit check value adds to a payload, without padding: SPI, sequence, IV, pad length,
#: next header, ICV.
OVERHEAD = HEADER_LENGTH + IV_LENGTH + 2 + 8

_HEADER = Struct("!II")
_KEY_LENGTHS = (16, 24, 32)
ICV_LENGTHS = (8, 12, 16)


class IntegrityError(ValueError):
    """Error: the check value is wrong, because the packet was encrypted with another key or altered."""


@cache
def _package() -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers import aead
    except ImportError:
        return None
    return aead


def is_available() -> bool:
    """Return True if the `cryptography` package is installed."""
    return _package() is not None


class Cipher:
    """AES-GCM with one key.

    `material` is an AES key of 16, 24 or 32 bytes and 4 bytes of salt; `icv_length` is 8, 12 or 16 bytes. Raises
    `OSError`: EINVAL for other lengths, ENOSYS if the `cryptography` package is missing.
    """

    __slots__ = ("_aead", "_salt", "icv_length")

    def __init__(self, material: bytes, icv_length: int) -> None:
        key, salt = material[:-SALT_LENGTH], material[-SALT_LENGTH:]
        if len(key) not in _KEY_LENGTHS or icv_length not in ICV_LENGTHS:
            raise OSError(errno.EINVAL, "Invalid argument")
        if not is_available():
            raise OSError(
                errno.ENOSYS,
                "Encryption needs the cryptography package, which is not installed (pip install cryptography)",
            )
        self._aead: AESGCM = _package().AESGCM(key)
        self._salt = salt
        self.icv_length = icv_length

    def encrypt(self, spi: int, sequence: int, iv: bytes, payload: bytes, next_header: int) -> bytes:
        """Encrypt `payload`, padded to whole words, and return the payload of the ESP packet (RFC 4303 §2.4).

        `next_header` is the protocol number of `payload`; `spi`, `sequence` and `iv` are fields of the ESP packet.
        """
        pad = -(len(payload) + 2) % 4
        plain = payload + bytes(range(1, pad + 1)) + bytes((pad, next_header))
        header = _HEADER.pack(spi, sequence)
        sealed = self._aead.encrypt(self._salt + iv, plain, header)
        return header + iv + sealed[: len(plain) + self.icv_length]

    def decrypt(self, message: bytes) -> tuple[bytes, int]:
        """Decrypt the payload of an ESP packet. Return the inner payload and its protocol number.

        Raises `IntegrityError` if the check value is wrong, `ValueError` if the message is too short or its padding
        is invalid.
        """
        if len(message) < HEADER_LENGTH + IV_LENGTH + 2 + self.icv_length:
            raise ValueError("truncated ESP packet")
        header, iv = message[:HEADER_LENGTH], message[HEADER_LENGTH : HEADER_LENGTH + IV_LENGTH]
        sealed, icv = message[HEADER_LENGTH + IV_LENGTH : -self.icv_length], message[-self.icv_length :]
        plain = self._decrypt(header, self._salt + iv, sealed, icv)
        pad, next_header = plain[-2], plain[-1]
        if pad + 2 > len(plain):
            raise ValueError("ESP padding longer than the packet")
        return plain[: len(plain) - pad - 2], next_header

    def _decrypt(self, header: bytes, nonce: bytes, sealed: bytes, icv: bytes) -> bytes:
        # GCM is a stream cipher: encrypting the ciphertext returns the plaintext, and encrypting the plaintext
        # returns the check value. The package's fast decryption supports only 16-byte check values; its decryption
        # for other lengths is many times slower.
        plain: bytes = self._aead.encrypt(nonce, sealed, None)[: len(sealed)]
        if not compare_digest(self._aead.encrypt(nonce, plain, header)[len(plain) :][: self.icv_length], icv):
            raise IntegrityError("integrity check failed")
        return plain


def header_of(message: bytes) -> tuple[int, int]:
    """Return (SPI, sequence number) of an ESP payload, which must have at least 8 bytes."""
    spi, sequence = _HEADER.unpack_from(message)
    return spi, sequence

"""Base64 as Go's `encoding/base64` reads it: line ends are passed over, and an error tells at which byte.

Source: Go `encoding/base64/base64.go`, `Encoding.decodeQuantum` (go1.24).
"""

from __future__ import annotations

from base64 import b64decode

_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


class CorruptBase64(ValueError):
    """What Go says of text that is not base64; `at` is the byte at which it went wrong."""

    def __init__(self, at: int) -> None:
        super().__init__(f"illegal base64 data at input byte {at}")


def decode_base64(text: str) -> bytes:
    """Decode padded standard base64. Raises `CorruptBase64`."""
    digits = [(at, each) for at, each in enumerate(text) if each not in "\r\n"]
    for number, (at, each) in enumerate(digits):
        if each == "=":
            _check_padding(number, digits, len(text))
            break
        if each not in _ALPHABET:
            raise CorruptBase64(at)
    else:
        over = len(digits) % 4
        if over:
            raise CorruptBase64(len(text) - over)
    return b64decode("".join(each for _, each in digits))


def _check_padding(number: int, digits: list[tuple[int, str]], length: int) -> None:
    """Check what stands from the first `=` on: it ends a group of four, and nothing follows."""
    if number % 4 < 2:
        raise CorruptBase64(digits[number][0])
    end = number + 1
    if number % 4 == 2:
        if end == len(digits):
            raise CorruptBase64(length)
        if digits[end][1] != "=":
            raise CorruptBase64(digits[end][0])
        end += 1
    if end < len(digits):
        raise CorruptBase64(digits[end][0])

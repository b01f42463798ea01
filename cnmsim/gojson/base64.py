"""Base64 decoding with the rules and error texts of Go's `encoding/base64`.

Line ends are skipped, and an error contains the offset of the wrong byte.

Source: Go `encoding/base64/base64.go`, `Encoding.decodeQuantum` (go1.24).
"""

from __future__ import annotations

from base64 import b64decode

_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


class CorruptBase64(ValueError):
    """Go's error for a text that is not valid base64. `at` is the offset of the first wrong byte."""

    def __init__(self, at: int) -> None:
        super().__init__(f"illegal base64 data at input byte {at}")


def decode_base64(text: str) -> bytes:
    """Decode padded standard base64. Raises `CorruptBase64` if the text is not valid."""
    digits = [(at, char) for at, char in enumerate(text) if char not in "\r\n"]
    for number, (at, char) in enumerate(digits):
        if char == "=":
            _check_padding(number, digits, len(text))
            break
        if char not in _ALPHABET:
            raise CorruptBase64(at)
    else:
        remainder = len(digits) % 4
        if remainder:
            raise CorruptBase64(len(text) - remainder)
    return b64decode("".join(char for _, char in digits))


def _check_padding(number: int, digits: list[tuple[int, str]], length: int) -> None:
    """Raise `CorruptBase64` unless the padding that begins at `digits[number]` is valid.

    It has to complete a group of four digits and must be the end of the text. `digits` are the characters with their
    offsets in the text; `length` is the length of the text.
    """
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

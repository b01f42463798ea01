"""Identifiers and unlock keys.

Source: moby/swarmkit `identity/randomid.go`, `manager/encryption/encryption.go`.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from random import Random

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID_ENTROPY_BYTES = 17
ID_LENGTH = 25
_UNLOCK_KEY_BYTES = 32
_UNLOCK_KEY_PREFIX = "SWMKEY-1-"


def base36(number: int, width: int) -> str:
    """Format a number in base 36, padded with zeros to `width` digits."""
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits.rjust(width, "0")


def new_id(random: Random) -> str:
    """Return a random object id: 25 digits in base 36."""
    # The top bit is set, so that the number always has 27 digits in base 36; the first one is dropped because it is
    # nearly constant.
    number = random.getrandbits(8 * _ID_ENTROPY_BYTES) | 1 << (8 * _ID_ENTROPY_BYTES - 1)
    return base36(number, ID_LENGTH)[1 : ID_LENGTH + 1]


def new_unlock_key(random: Random) -> bytes:
    """Return a random unlock key, which encrypts a manager's private data on disk (autolock)."""
    return random.randbytes(_UNLOCK_KEY_BYTES)


def unlock_key_text(key: bytes) -> str:
    """Format an unlock key as `docker swarm unlock-key` prints it; "" for no key."""
    return _UNLOCK_KEY_PREFIX + b64encode(key).decode().rstrip("=") if key else ""


def parse_unlock_key(text: str) -> bytes:
    """Parse an unlock key as `unlock_key_text` formats it. Raises `ValueError` if the text is no such key."""
    encoded = text.removeprefix(_UNLOCK_KEY_PREFIX)
    try:
        if encoded == text or "=" in encoded:
            raise ValueError
        return b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        raise ValueError("invalid key string") from None

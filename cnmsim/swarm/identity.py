"""Identifiers, join tokens and unlock keys.

Source: moby/swarmkit `identity/randomid.go`, `ca/config.go`, `manager/encryption/encryption.go`.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from random import Random

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID_ENTROPY_BYTES = 17
_SECRET_ENTROPY_BYTES = 16
ID_LENGTH = 25
_DIGEST_LENGTH = 50
_SECRET_LENGTH = 25
#: Version 2 says whether FIPS mode is required.
_JOIN_TOKEN = re.compile(
    rf"SWMTKN-(?:1|2-[01])-(?P<digest>[^-]{{{_DIGEST_LENGTH}}})-(?P<secret>[^-]{{{_SECRET_LENGTH}}})"
)
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
    """Draw an object id: 25 digits of base 36."""
    # As the top bit is set, the number always has 27 digits; the first is dropped because it is nearly constant.
    number = random.getrandbits(8 * _ID_ENTROPY_BYTES) | 1 << (8 * _ID_ENTROPY_BYTES - 1)
    return base36(number, ID_LENGTH)[1 : ID_LENGTH + 1]


def join_token(random: Random, root_digest: str) -> str:
    """Draw a join token for the root certificate with the given SHA-256 digest (hexadecimal)."""
    secret = base36(random.getrandbits(8 * _SECRET_ENTROPY_BYTES), _SECRET_LENGTH)
    return f"SWMTKN-1-{base36(int(root_digest, 16), _DIGEST_LENGTH)}-{secret}"


def parse_join_token(token: str) -> tuple[str, str]:
    """Return the root certificate's digest (hexadecimal) and the secret of a join token. Raises `ValueError`."""
    match = _JOIN_TOKEN.fullmatch(token)
    try:
        if match is not None:
            return f"{int(match['digest'], 36):064x}", match["secret"]
    except ValueError:
        pass
    raise ValueError("invalid join token")


def new_unlock_key(random: Random) -> bytes:
    """Draw an unlock key: it encrypts the private data of managers on disk (autolock)."""
    return random.randbytes(_UNLOCK_KEY_BYTES)


def unlock_key_text(key: bytes) -> str:
    """Format an unlock key as `docker swarm unlock-key` prints it; "" for no key."""
    return _UNLOCK_KEY_PREFIX + b64encode(key).decode().rstrip("=") if key else ""


def parse_unlock_key(text: str) -> bytes:
    """Parse an unlock key as `unlock_key_text` formats it. Raises `ValueError`."""
    encoded = text.removeprefix(_UNLOCK_KEY_PREFIX)
    try:
        if encoded == text or "=" in encoded:
            raise ValueError
        return b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        raise ValueError("invalid key string") from None

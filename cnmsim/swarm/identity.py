"""Identifiers and join tokens (moby/swarmkit `identity/randomid.go`, `ca/config.go`)."""

from __future__ import annotations

from random import Random

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID_ENTROPY_BYTES = 17
_SECRET_ENTROPY_BYTES = 16
ID_LENGTH = 25
_DIGEST_LENGTH = 50
_SECRET_LENGTH = 25


def base36(number: int, width: int) -> str:
    """Write a number in base 36, padded with zeros to `width` digits."""
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits.rjust(width, "0")


def new_id(random: Random) -> str:
    """Draw the identifier of an object: 25 digits of base 36."""
    # The top bit is set, so that the number always has 27 digits, of which the first says little.
    drawn = random.getrandbits(8 * _ID_ENTROPY_BYTES) | 1 << (8 * _ID_ENTROPY_BYTES - 1)
    return base36(drawn, ID_LENGTH)[1 : ID_LENGTH + 1]


def join_token(random: Random, root_digest: str) -> str:
    """Draw a join token for a root certificate, whose SHA-256 is `root_digest` in hexadecimal."""
    secret = base36(random.getrandbits(8 * _SECRET_ENTROPY_BYTES), _SECRET_LENGTH)
    return f"SWMTKN-1-{base36(int(root_digest, 16), _DIGEST_LENGTH)}-{secret}"


def parse_join_token(token: str) -> tuple[str, str]:
    """Take a join token apart into the root certificate's digest (hexadecimal) and the secret.

    Raises `ValueError` if it is not one.
    """
    parts = token.split("-")
    digits = {("1", 4), ("2", 5)}
    if len(parts) < 4 or parts[0] != "SWMTKN" or (parts[1], len(parts)) not in digits:
        raise ValueError("invalid join token")
    if parts[1] == "2" and parts[2] not in {"0", "1"}:
        raise ValueError("invalid join token")
    digest, secret = parts[-2:]
    if len(digest) != _DIGEST_LENGTH or len(secret) != _SECRET_LENGTH:
        raise ValueError("invalid join token")
    try:
        return f"{int(digest, 36):064x}", secret
    except ValueError:
        raise ValueError("invalid join token") from None

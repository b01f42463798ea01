"""Join tokens, each of which contains the root certificate's digest and a secret (moby/swarmkit `ca/config.go`)."""

from __future__ import annotations

import re
from random import Random

from cnmsim.swarm.identity import base36

_SECRET_ENTROPY_BYTES = 16
_DIGEST_LENGTH = 50
_SECRET_LENGTH = 25
#: Tokens of version 2 also contain whether FIPS mode is required.
_JOIN_TOKEN = re.compile(
    rf"SWMTKN-(?:1|2-[01])-(?P<digest>[^-]{{{_DIGEST_LENGTH}}})-(?P<secret>[^-]{{{_SECRET_LENGTH}}})"
)


def join_token(random: Random, root_digest: str) -> str:
    """Return a random join token for the root certificate with the given SHA-256 digest (hexadecimal)."""
    secret = base36(random.getrandbits(8 * _SECRET_ENTROPY_BYTES), _SECRET_LENGTH)
    return f"SWMTKN-1-{base36(int(root_digest, 16), _DIGEST_LENGTH)}-{secret}"


def parse_join_token(token: str) -> tuple[str, str]:
    """Parse a join token. Return the root certificate's digest (hexadecimal) and the secret.

    Raises `ValueError` if the token is invalid.
    """
    match = _JOIN_TOKEN.fullmatch(token)
    try:
        if match is not None:
            return f"{int(match['digest'], 36):064x}", match["secret"]
    except ValueError:
        pass
    raise ValueError("invalid join token")

"""Ids of containers, networks, endpoints and sandboxes.

Source: moby `daemon/internal/stringid/stringid.go` (`GenerateRandomID`), docker-v29.7.2.
"""

from random import Random

_SHORT = 12


def hex_id(random: Random) -> str:
    """Return a random id of 64 hexadecimal digits. Its first twelve digits, the short id, contain a letter."""
    while True:
        drawn = random.randbytes(32).hex()
        if not drawn[:_SHORT].isdigit():
            return drawn

"""Container names: their syntax, and random names for containers without one.

Source: moby `daemon/names.go`, `daemon/names/names.go`; the words of random names are our own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from cnmsim.errors import Conflict, InvalidParameter

_VALID = re.compile(r"/?[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_ADJECTIVES = """
    able amber brave bright brisk calm clever cosmic crisp curious daring eager early earnest fair
    fleet fond frosty gentle glad golden happy hardy honest humble jolly keen kind lively lucid
    lucky merry mild modest neat noble patient placid plucky polite proud quick quiet rapid ready
    serene sharp silent sincere smart snowy steady still sunny swift tidy tranquil upbeat vivid warm
    wise witty zesty
""".split()  # noqa: SIM905 - a list of words
_SURNAMES = """
    abramson baran berners bolt bush cailliau carr cerf clark cohen cooper corbato crocker davies
    deering diffie engelbart estrin feinler floyd gerich goto hafner hellman hopper huitema jacobson
    kahn karn kernighan kleinrock kirstein knuth lamport licklider liskov lovelace mills mockapetris
    moy murai neumann perlman pike pouzin postel ritchie roberts salus schulzrinne shannon steiner
    taylor thompson tomlinson torvalds turing wilkes zimmermann
""".split()  # noqa: SIM905 - a list of words


def check_name(name: str) -> None:
    """Check that a container's name has only allowed characters. Raises `InvalidParameter` if the name has others."""
    if not _VALID.fullmatch(name):
        raise InvalidParameter(f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")


def random_name(random: Random, retry: int = 0) -> str:
    """Return a random name such as `keen_postel`, with a digit at its end if `retry` is not 0."""
    name = f"{random.choice(_ADJECTIVES)}_{random.choice(_SURNAMES)}"
    return f"{name}{random.randrange(10)}" if retry else name


def free_random_name(random: Random, is_taken: Callable[[str], bool], container_id: str) -> str:
    """Return a random name for a container, or the short form of its id if the first six names are all taken.

    Source: moby daemon/names.go, generateAndReserveName.
    """
    names = (random_name(random, retry) for retry in range(6))
    return next((name for name in names if not is_taken(name)), container_id[:12])


def name_in_use(name: str, container_id: str) -> Conflict:
    """Return the `Conflict` error for a requested name that the container with the id `container_id` has already."""
    return Conflict(
        f'Conflict. The container name "/{name}" is already in use by container "{container_id}". You have to remove '
        "(or rename) that container to be able to reuse that name."
    )

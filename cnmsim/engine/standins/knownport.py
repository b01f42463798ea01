"""A port on which a program is known to listen, and the source of that knowledge."""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from cnmsim.digits import is_number


class Provenance(Enum):
    """How certain it is that a program listens on a port."""

    RECORDED = "recorded"  # the program is simulated and bound the socket itself
    STATED = "stated"  # the user stated it: x-cnmsim, --listen or images.add
    ASSUMED = "assumed"  # derived from a command line, an environment, a file, other services or the image's name
    UNKNOWN = "unknown"  # nothing is known about the port


class PortSource(Enum):
    """The kind of text that a port was derived from, the most reliable first."""

    USER = "user"
    COMMAND = "command"
    ENTRYPOINT = "entrypoint"
    ENVIRONMENT = "environment"
    HEALTH_CHECK = "health check"
    EXPOSE = "expose"
    PORTS = "ports"
    REFERENCE = "other service"
    CATALOGUE = "catalogue"

    @property
    def provenance(self) -> Provenance:
        """`STATED` for the user's own statement, else `ASSUMED`."""
        return Provenance.STATED if self is PortSource.USER else Provenance.ASSUMED


#: Sources that say only that some program of the container may listen there.
VAGUE = frozenset({PortSource.HEALTH_CHECK, PortSource.EXPOSE, PortSource.PORTS, PortSource.REFERENCE})


@frozen
class KnownPort:
    """A port, with its protocol (`tcp` or `udp`), on which a program listens according to `source`.

    `evidence` is the text that the port was derived from: `--port 8000`, `PORT=3000`, the name of an image or of
    another service. `address` is the address that the program binds, "" for all addresses.
    """

    number: int
    protocol: str
    source: PortSource
    evidence: str = ""
    address: str = ""

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"


def parse_listener(value: int | str) -> tuple[int, str]:
    """Parse a port as users state it, such as `8000` or `53/udp`, into number and protocol.

    Raises `ValueError` for a number that is no port, or another protocol than `tcp` and `udp`.
    """
    number, slash, protocol = str(value).partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if not is_number(number) or not 0 < int(number) < 65536:
        raise ValueError(f"invalid port {str(value)[:40]!r}: a listener is PORT or PORT/udp, such as 8000 or 53/udp")
    if protocol not in {"tcp", "udp"}:
        raise ValueError(f"invalid protocol in {str(value)[:40]!r}: a listener is PORT, PORT/tcp or PORT/udp")
    return int(number), protocol

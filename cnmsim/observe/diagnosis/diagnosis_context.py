"""The case a diagnosis works on: who asked for what, what was seen, and what the lab looks like."""

from __future__ import annotations

from functools import cached_property

from attrs import frozen

from cnmsim.kernel.address import Address, format_ip, is_loopback, parse_ip
from cnmsim.kernel.events import Step
from cnmsim.observe.location import Directory, Location
from cnmsim.observe.trace.hops import Hop
from cnmsim.observe.trace.probe import Outcome
from cnmsim.observe.trace.target import Target


@frozen(slots=False)
class DiagnosisContext:
    """One probe, over. `hops` is its whole walk; `knocked_ns` when the name was known and the knocking began."""

    source: Location
    target: Target
    outcome: Outcome
    hops: tuple[Hop, ...]
    directory: Directory
    connect_started_ns: int = 0

    @cached_property
    def attempt(self) -> tuple[Hop, ...]:
        """The hops after the name was known, up to the ending, without questions for names."""
        return tuple(
            hop
            for hop in self.hops
            if self.connect_started_ns <= hop.time_ns <= self.outcome.elapsed_ns
            and (not hop.packet.startswith("DNS ") or (self.target.port == 53 and hop.message not in self._lookups))
        )

    @cached_property
    def _lookups(self) -> frozenset[int]:
        """The messages with which the name was looked up: to and from another address than the one knocked at."""
        asked = self.outcome.lookup is not None and bool(self.outcome.lookup.queries)
        address = format_ip(self.outcome.address) if self.outcome.address else ""
        first: dict[int, Hop] = {}
        for hop in self.hops:
            if asked and hop.packet.startswith("DNS "):
                first.setdefault(hop.message, hop)
        return frozenset(
            number for number, hop in first.items() if address not in {source_of(hop), destination_of(hop)}
        )

    @cached_property
    def losses(self) -> tuple[Hop, ...]:
        """Where packets of the knocking were lost."""
        return tuple(hop for hop in self.attempt if hop.is_loss)

    @cached_property
    def lookup_losses(self) -> tuple[Hop, ...]:
        """Where questions for the name were lost."""
        return tuple(hop for hop in self.hops if hop.is_loss and hop.packet.startswith("DNS "))

    @property
    def address(self) -> str:
        """The address knocked at, as text."""
        return format_ip(self.outcome.address) if self.outcome.address else self.target.host

    @property
    def goal(self) -> str:
        """Address and port knocked at, as text."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return host if self.target.protocol == "icmp" else f"{host}:{self.target.port}"

    @cached_property
    def destination(self) -> Location | None:
        """Who has the address knocked at; a loopback address is the source's own."""
        address = self.outcome.address
        if address is None:
            return None
        return self.source if is_loopback(address) else self.directory.owner(address)

    @cached_property
    def taken(self) -> Hop | None:
        """Where the request was taken by a socket (or echoed by the kernel): the last such place on its way.

        With a proxy between there are two requests, and the last one reaches the container.
        """
        found = [
            hop
            for hop in self.attempt
            if hop.step is Step.DELIVERED
            and hop.packet.startswith(("TCP SYN", "UDP ", "DNS ", "ICMP echo request", "ICMPv6 echo"))
            and not hop.packet.startswith(("TCP SYN-ACK", "ICMPv6 echo reply"))
            and not self.is_reply(hop)
        ]
        return found[-1] if found else None

    def is_reply(self, hop: Hop) -> bool:
        """Whether a hop belongs to a message that travels towards the source."""
        return hop.packet.startswith(("TCP SYN-ACK", "ICMP echo reply", "ICMPv6 echo reply")) or (
            not hop.packet.startswith("TCP ")
            and self.sender(hop) != self.source.namespace.name
            and destination_of(hop) in self._source_addresses
        )

    @cached_property
    def _source_addresses(self) -> frozenset[str]:
        return frozenset(format_ip(address) for address in self.source.addresses)

    def sender(self, hop: Hop) -> str:
        """Name the place where the message of a hop began."""
        return next(other.place for other in self.hops if other.message == hop.message)

    def location(self, place: str) -> Location | None:
        """Tell whose namespace a hop's place is."""
        return self.directory.at(place)

    def translations(self) -> tuple[Hop, ...]:
        """Where the request's addresses were rewritten, in order."""
        return tuple(hop for hop in self.attempt if hop.step is Step.TRANSLATED and not self.is_reply(hop))


def _side(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def source_of(hop: Hop) -> str:
    """Give the source address of a hop, as text without port."""
    return _side(hop.addresses.partition(" > ")[0])


def destination_of(hop: Hop) -> str:
    """Give the destination address of a hop, as text without port."""
    return _side(hop.addresses.partition(" > ")[2])


def port_of(hop: Hop) -> int:
    """Give the destination port of a hop, 0 if it has none."""
    return _port(hop.addresses.partition(" > ")[2])


def source_port_of(hop: Hop) -> int:
    """Give the source port of a hop, 0 if it has none."""
    return _port(hop.addresses.partition(" > ")[0])


def _port(text: str) -> int:
    port = text.rpartition("]:")[2] if text.startswith("[") else text.partition(":")[2]
    return int(port) if port.isdigit() else 0


def address_at(hop: Hop) -> Address | None:
    """Give the destination address of a hop, `None` if it has none."""
    text = destination_of(hop)
    try:
        return parse_ip(text)
    except ValueError:
        return None

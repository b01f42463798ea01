"""The context of a diagnosis: the question, what the probe saw, its hops, and the locations of the lab."""

from __future__ import annotations

from functools import cached_property

from attrs import frozen

from cnmsim.kernel.address import format_ip, is_loopback
from cnmsim.kernel.events import Step
from cnmsim.observe.location import Directory, Location
from cnmsim.observe.trace.hops import Hop
from cnmsim.observe.trace.packet_summary import endpoint_text
from cnmsim.observe.trace.probe import Outcome
from cnmsim.observe.trace.target import Target


@frozen(slots=False)
class DiagnosisContext:
    """A probe that has ended.

    `hops` is its whole walk; `connect_started_ns` the time, since the start of the trace, at which the name was known
    and the connection attempt began.
    """

    source: Location
    target: Target
    outcome: Outcome
    hops: tuple[Hop, ...]
    directory: Directory
    connect_started_ns: int = 0

    @cached_property
    def attempt(self) -> tuple[Hop, ...]:
        """The hops of the connection attempt, up to its outcome, without queries for the name."""
        return tuple(
            hop
            for hop in self.hops
            if self.connect_started_ns <= hop.time_ns <= self.outcome.elapsed_ns
            and (not hop.layer4.is_dns or (self.target.port == 53 and hop.message not in self._lookups))
        )

    @cached_property
    def _lookups(self) -> frozenset[int]:
        """The messages of the name lookup: those from and to another address than the one connected to."""
        has_lookup = self.outcome.lookup is not None and bool(self.outcome.lookup.queries)
        first: dict[int, Hop] = {}
        for hop in self.hops:
            if has_lookup and hop.layer4.is_dns:
                first.setdefault(hop.message, hop)
        return frozenset(
            number
            for number, hop in first.items()
            if self.outcome.address is None or self.outcome.address not in {hop.source, hop.destination}
        )

    @cached_property
    def drops(self) -> tuple[Hop, ...]:
        """Where packets of the connection attempt were dropped."""
        return tuple(hop for hop in self.attempt if hop.is_drop)

    @cached_property
    def lookup_drops(self) -> tuple[Hop, ...]:
        """Where queries for the name, or their answers, were dropped."""
        return tuple(hop for hop in self.hops if hop.is_drop and hop.layer4.is_dns)

    @property
    def address_text(self) -> str:
        """The address connected to, or the name if there is no address."""
        return format_ip(self.outcome.address) if self.outcome.address else self.target.host

    @property
    def endpoint_text(self) -> str:
        """The address and port connected to; without port for an echo request."""
        if self.outcome.address is not None:
            return endpoint_text(self.outcome.address, 0 if self.target.protocol == "icmp" else self.target.port)
        return self.target.host if self.target.protocol == "icmp" else f"{self.target.host}:{self.target.port}"

    @cached_property
    def destination(self) -> Location | None:
        """The owner of the address connected to; a loopback address is the source's own."""
        address = self.outcome.address
        if address is None:
            return None
        return self.source if is_loopback(address) else self.directory.owner(address)

    @cached_property
    def delivery(self) -> Hop | None:
        """The last hop at which the request reached a socket, or the kernel that answers an echo request.

        With a proxy in between there are two requests: the last one reaches the container.
        """
        deliveries = [
            hop
            for hop in self.attempt
            if hop.step is Step.DELIVERED
            and (hop.layer4.is_syn or hop.layer4.protocol == "udp" or hop.layer4.is_echo_request)
            and not self.is_reply(hop)
        ]
        return deliveries[-1] if deliveries else None

    def is_reply(self, hop: Hop) -> bool:
        """Return True if the hop's message travels towards the source."""
        return (
            hop.layer4.is_syn_ack
            or hop.layer4.is_echo_reply
            or (
                hop.layer4.protocol != "tcp"
                and self.sender(hop) != self.source.namespace.name
                and hop.destination in self.source.addresses
            )
        )

    def sender(self, hop: Hop) -> str:
        """Return the place at which the hop's message began."""
        return next(other.place for other in self.hops if other.message == hop.message)

    def replier(self, hop: Hop) -> str:
        """Return the sender of the hop's message if that is a reply, else ""."""
        return self.sender(hop) if self.is_reply(hop) else ""

    def location_at(self, place: str) -> Location | None:
        """Return the location whose namespace a hop names as its place."""
        return self.directory.at(place)

    def owner_of_destination(self, hop: Hop) -> Location | None:
        """Return the owner of the hop's destination address."""
        return self.directory.owner(hop.destination) if hop.destination is not None else None

    def translations(self) -> tuple[Hop, ...]:
        """Return the hops at which an address of the request was rewritten, in order."""
        return tuple(hop for hop in self.attempt if hop.step is Step.TRANSLATED and not self.is_reply(hop))

"""The input of a diagnosis: the target, the outcome of the probe, its hops, and the locations of the lab."""

from __future__ import annotations

from functools import cached_property

from attrs import frozen

from cnmsim.kernel.address import format_ip, is_loopback
from cnmsim.kernel.events import Step
from cnmsim.observe.directory import Directory
from cnmsim.observe.location import Location
from cnmsim.observe.trace.hops import Hop
from cnmsim.observe.trace.packet_summary import endpoint_text
from cnmsim.observe.trace.probe import Outcome
from cnmsim.observe.trace.target import Target


@frozen(slots=False)
class DiagnosisContext:
    """A probe that has ended, and the lab in which it ran.

    `source` probed `target`; `outcome` is what the probe's program saw. `hops` are all hops of its trace. `directory`
    has the locations of the lab. `connect_started_ns` is the time, since the start of the trace, when the name had
    been resolved and the connection attempt began.
    """

    source: Location
    target: Target
    outcome: Outcome
    hops: tuple[Hop, ...]
    directory: Directory
    connect_started_ns: int = 0

    @cached_property
    def attempt(self) -> tuple[Hop, ...]:
        """The hops of the connection attempt up to its outcome, without the DNS messages of the name lookup."""
        return tuple(
            hop
            for hop in self.hops
            if self.connect_started_ns <= hop.time_ns <= self.outcome.elapsed_ns
            and (not hop.layer4.is_dns or (self.target.port == 53 and hop.message not in self._lookups))
        )

    @cached_property
    def _lookups(self) -> frozenset[int]:
        """The numbers (`Hop.message`) of the DNS packets of the name lookup.

        DNS packets from or to the address that the probe connected to are left out: they belong to the probe itself.
        """
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
        """The hops at which packets of the connection attempt were dropped."""
        return tuple(hop for hop in self.attempt if hop.is_drop)

    @cached_property
    def lookup_drops(self) -> tuple[Hop, ...]:
        """The hops at which DNS queries or their answers were dropped."""
        return tuple(hop for hop in self.hops if hop.is_drop and hop.layer4.is_dns)

    @property
    def address_text(self) -> str:
        """The address that the probe connected to, as text; the target's name if it was not resolved."""
        return format_ip(self.outcome.address) if self.outcome.address else self.target.host

    @property
    def endpoint_text(self) -> str:
        """The address and port that the probe connected to, e.g. `10.0.0.2:80`; without port for a ping."""
        if self.outcome.address is not None:
            return endpoint_text(self.outcome.address, 0 if self.target.protocol == "icmp" else self.target.port)
        return self.target.host if self.target.protocol == "icmp" else f"{self.target.host}:{self.target.port}"

    @cached_property
    def destination(self) -> Location | None:
        """The location that has the address to which the probe connected; `None` if no location has it.

        For a loopback address, the location is the source itself.
        """
        address = self.outcome.address
        if address is None:
            return None
        return self.source if is_loopback(address) else self.directory.owner(address)

    @cached_property
    def delivery(self) -> Hop | None:
        """The last hop at which the request was delivered to a socket or, for a ping, to the kernel.

        If docker-proxy relayed the request, this is the hop at which the proxy's own request was delivered to the
        container. The value is `None` if there is no such hop.
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
        """Return True if the packet of the hop is a reply, that is, goes to the source instead of coming from it."""
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
        """Return the name of the network namespace that sent the packet of the hop."""
        return next(other.place for other in self.hops if other.message == hop.message)

    def replier(self, hop: Hop) -> str:
        """Return the name of the network namespace that sent the packet of the hop if it is a reply, else ""."""
        return self.sender(hop) if self.is_reply(hop) else ""

    def location_at(self, place: str) -> Location | None:
        """Return the location whose network namespace has the name `place` in hops; `None` if there is none."""
        return self.directory.at(place)

    def owner_of_destination(self, hop: Hop) -> Location | None:
        """Return the location that has the hop's destination address; `None` if none has it."""
        return self.directory.owner(hop.destination) if hop.destination is not None else None

    def translations(self) -> tuple[Hop, ...]:
        """Return the hops at which NAT rewrote an address of a request, in order."""
        return tuple(hop for hop in self.attempt if hop.step is Step.TRANSLATED and not self.is_reply(hop))

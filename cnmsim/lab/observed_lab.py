"""`ObservedLab`: the methods of a lab that trace, explain and draw.

`Lab` is derived from it and adds the methods that change a lab. Each method here calls the module of `cnmsim.observe`
in which the work is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import fields

from cnmsim.errors import InvalidParameter
from cnmsim.lab.members import LabMembers
from cnmsim.suggestion import suggests_keywords

if TYPE_CHECKING:
    from scapy.plist import PacketList

    from cnmsim.kernel.link_events import LinkEvent
    from cnmsim.lab.lab import Lab
    from cnmsim.libnetwork.endpoint import Endpoint
    from cnmsim.libnetwork.sandbox import Sandbox
    from cnmsim.observe.capture.capture import Capture
    from cnmsim.observe.diagnosis.engine_errors import ErrorExplanation
    from cnmsim.observe.doctor import Checkup
    from cnmsim.observe.explain import Explanation
    from cnmsim.observe.flows.flow import Flow
    from cnmsim.observe.flows.result import FlowReport
    from cnmsim.observe.flows.running import RunningFlows
    from cnmsim.observe.packets.interface import Interface
    from cnmsim.observe.packets.walks import Walks
    from cnmsim.observe.reachability.matrix import Difference, Reachability
    from cnmsim.observe.trace.trace import Trace
    from cnmsim.observe.views import LookupView, Picture, RoutesView, RulesView


@suggests_keywords
class ObservedLab(LabMembers):
    """The part of a `Lab` that traces and explains packets, captures frames and draws pictures."""

    _shown_as = "Lab"

    def _elsewhere(self, name: str) -> str:
        from cnmsim.other_names import for_lab

        known = for_lab(name, [host.name for host in self.hosts.values() if host.has_docker])
        has_it = any(hasattr(type(host), name) for host in self.hosts.values())
        return known or (f"; hosts have it: lab.host(NAME).{name}" if has_it else "")

    @property
    def events(self) -> list[LinkEvent]:
        """Events on links that no program reports, such as two hosts with the same address; oldest first."""
        events = [notice for host in self.hosts.values() for notice in host.machine.link_events.events]
        return sorted(events, key=lambda notice: notice.time_ns)

    def trace(
        self,
        source: object,
        destination: object,
        service: str | int | None = None,
        *,
        port: int | str | None = None,
        protocol: str | None = None,
        timeout_s: float = 5.0,
        family: int = 0,
    ) -> Trace:
        """Send a real probe from `source` to `destination` and return the trace of everything it caused.

        `source` is a name, a host, a container, a sandbox or an endpoint. `destination` is `db:5432`, `web:53/udp`,
        `db:http`, `("db", 5432)`, a URL, a name, or one of these objects; its port may be given as `port`, or as
        `service` (`"tcp/80"`). Without a port it is pinged. A name is looked up by the source; for an object, its
        address is used. `protocol` (`tcp` or `udp`) applies to a destination that states none. `timeout_s` limits the
        wait for an answer, in virtual seconds. `family` (4 or 6) is the IP version to use, 0 for either.

        Raises `NotFound` or `Conflict` for an unknown or ambiguous source, `InvalidParameter` for an invalid
        destination.
        """
        from cnmsim.observe.trace.tracer import trace

        return trace(
            self, source, destination, service, port=port, protocol=protocol, timeout_s=timeout_s, family=family
        )

    def watch(self, source: object) -> AbstractContextManager[Trace]:
        """Trace everything that happens because of the code inside a `with` block.

        For example, trace what a program sends next on an open connection. When the block ends, the trace diagnoses
        the first message that `source` sent during the block. `source` is a name, a host, a container, a sandbox or
        an endpoint.
        """
        from cnmsim.observe.trace.tracer import directory_of, location_of
        from cnmsim.observe.trace.watch import watch

        directory = directory_of(self)
        return watch(self.clock, directory, location_of(directory, source))

    def explain(
        self,
        source: object,
        destination: object,
        service: str | int | None = None,
        *,
        port: int | str | None = None,
        protocol: str | None = None,
        timeout_s: float = 5.0,
        family: int = 0,
    ) -> Explanation:
        """Return whether `source` reaches `destination`, and what decides this, such as a rule, a route or a socket.

        `service` is written as `"tcp/80"`. Without it, the port is `port` or a part of `destination` as in `trace`;
        without a port, `destination` is pinged. The other parameters are those of `trace`.
        """
        from cnmsim.observe.explain import explain

        return explain(
            self, source, destination, service, port=port, protocol=protocol, timeout_s=timeout_s, family=family
        )

    def explain_error(self, error: BaseException, *, asked: str = "") -> ErrorExplanation:
        """Return an explanation of an engine's error, with what its message omits, such as the owner of a port.

        `asked` is the subnet or address that was requested, "" if none was.
        """
        from cnmsim.observe.diagnosis.engine_errors import explain_error

        return explain_error(self, error, asked=asked)

    def doctor(self) -> Checkup:
        """Return the latent faults of the lab, each with its severity and location: `print(lab.doctor())`.

        Real packets are sent between the nodes of a swarm and along paths with a smaller MTU than the containers',
        which takes some virtual time.
        """
        from cnmsim.observe.doctor import doctor

        return doctor(self)

    def reachability(
        self,
        sources: Sequence[object] | None = None,
        *,
        protocols: Sequence[str] = ("tcp",),
        protocol: str | None = None,
        port: int | str | None = None,
        by: str = "name",
        timeout_s: float = 1.0,
        family: int = 0,
    ) -> Reachability:
        """Return which containers reach which other containers, as found by real probes.

        Probes go from every container (or from `sources`) to every port on which containers listen by one of
        `protocols`. With `port`, every container is probed at this port of `protocol`, whether it listens there or
        not; `protocol="icmp"` pings. A probe uses the container's name, which the source looks up, or with
        `by="address"` its address. Pairs between which no rule, route, socket or bridge makes a difference share one
        probe. `timeout_s` limits the wait for an answer, in virtual seconds; `family` (4 or 6) is the IP version, 0
        for either. Raises `InvalidParameter` for an unknown protocol, `NotFound` or `Conflict` for an unknown or
        ambiguous source.
        """
        from cnmsim.observe.reachability.matrix import reachability

        return reachability(
            self, sources, protocols=protocols, protocol=protocol, port=port, by=by, timeout_s=timeout_s,
            family=family,
        )  # fmt: skip

    def diff(self, other: Lab, **options: Any) -> Difference:
        """Return the pairs that reach each other in this lab but not in `other`, and vice versa.

        `options` are those of `reachability`. The two labs may be, for example, built from two versions of a Compose
        file or with two engine releases, or be a lab and its fork. Containers with equal names are compared.
        """
        return self.reachability(**options).diff(other.reachability(**options))

    def flow(self, source: object, destination: str, **options: Any) -> FlowReport:
        """Send a flow of messages, let virtual time pass until it has ended, and return its figures.

        `source` is a name, a host or a container, `destination` a name or address with a port (`"web:80"`). `options`
        are those of `Flow`: `protocol`, `rate_bps`, `size`, `count` or `duration_s`, `interval` and so on. Raises
        `InvalidParameter` for invalid values, `NotFound` or `Conflict` for an unknown or ambiguous source.
        """
        from cnmsim.observe.flows.flow import Flow

        try:
            flow = Flow(source, destination, **options)
        except TypeError:
            from difflib import get_close_matches

            known = [item.name for item in fields(Flow)]
            unknown = next(name for name in options if name not in known)
            close = get_close_matches(unknown, known, 1)
            meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(known[2:])}"
            raise InvalidParameter(f"a flow has no option {unknown!r}: {meant}") from None
        return self.flows([flow])

    def flows(self, flows: Iterable[Flow]) -> FlowReport:
        """Send several flows at once, let virtual time pass until all have ended, and return their figures.

        Raises the errors of `flow`; then no flow is sent.
        """
        return self.start_flows(flows).finish()

    def start_flows(self, flows: Iterable[Flow]) -> RunningFlows:
        """Start flows and return at once, so that the lab can be changed while they run.

        Advance time with `run`, and call `finish()` of the result for the figures. Raises the errors of `flow`; then
        no flow is sent.
        """
        from cnmsim.observe.flows.running import start_flows

        return start_flows(self, flows)

    def capture(
        self,
        *places: str | Sandbox | Endpoint,
        filter: str = "",  # noqa: A002 - scapy's name
        prn: Callable[[Any], Any] | None = None,
        verdicts: bool = False,
    ) -> Capture:
        """Start a capture at the devices that match `places`, such as `"router:eth0"`, or at all devices.

        An item of `places` may also be a sandbox (all its devices except loopback) or an endpoint (its device in its
        sandbox). `filter` is an expression in the language of tcpdump (`"tcp port 80"`). `prn` is called with every
        captured scapy packet, and its result is printed unless it is `None`. With `verdicts`, while the capture's
        `with` block lasts, the capture records where every packet is delivered or dropped; the simulation then takes
        several times as long. Raises `NotFound` if no device matches, `InvalidParameter` for an invalid filter.
        """
        from cnmsim.observe.trace.tracer import capture

        return capture(self, *places, filter=filter, prn=prn, verdicts=verdicts)

    def sniff(
        self,
        *patterns: str,
        filter: str = "",  # noqa: A002 - scapy's name
        count: int = 0,
        timeout_s: float = 10.0,
        prn: Callable[[Any], Any] | None = None,
        stop_filter: Callable[[Any], bool] | None = None,
        started_callback: Callable[[], object] | None = None,
        verdicts: bool = False,
    ) -> PacketList:
        """Capture packets while virtual time passes, and return them, as scapy's `sniff` does.

        The capture ends after `count` packets (0 for no limit), after a packet for which `stop_filter` returns True,
        or after `timeout_s` seconds. `started_callback` is called when the capture has started. The other parameters
        and the errors are those of `capture`.
        """
        from cnmsim.observe.packets.sniff import sniff

        return sniff(
            self, patterns, filter=filter, count=count, timeout_s=timeout_s, prn=prn, stop_filter=stop_filter,
            started_callback=started_callback, verdicts=verdicts,
        )  # fmt: skip

    def replay(
        self,
        path: str | Path,
        at: str | Interface,
        *,
        rewrite: Mapping[str, str] | None = None,
        filter: str = "",  # noqa: A002 - scapy's name
        direction: str | None = None,
        speed: float = 1.0,
        count: int | None = None,
        timeout_s: float = 5.0,
    ) -> Walks:
        """Send the frames of a capture file (pcap or pcapng) at a device, with their recorded timing.

        `at` is the device (`"node1:eth0"`). A frame that was recorded as outgoing is sent by the device; the device
        receives all other frames as if from the wire. `direction` (`"in"` or `"out"`) overrides the recorded
        direction of all frames. `rewrite` replaces MAC addresses, IP addresses and subnets, `{"192.168.1.0/24":
        "10.0.0.0/24"}`, in the Ethernet, ARP and outermost IP headers, and updates the checksums. `filter` selects
        frames in the language of tcpdump, `count` limits their number. `speed` is a factor: 2 halves the times
        between frames. `timeout_s` has the same meaning as in `Host.send`.

        Raises `FileError` for a file that is not a capture, `NotFound` for an unknown device, `InvalidParameter` for
        other invalid values; nothing is sent then.
        """
        from cnmsim.observe.packets.replay import replay

        return replay(
            self.device(at) if isinstance(at, str) else at, path, rewrite=rewrite or {}, filter=filter,
            direction=direction, speed=speed, count=count, timeout_s=timeout_s,
        )  # fmt: skip

    def draw(self, trace: Trace | None = None) -> Picture:
        """Draw the lab as it is now. With `trace`, the path of its packets is drawn too.

        A notebook displays the picture, `.save("lab.svg")` writes it. Raises `InvalidParameter` for a `trace` of
        another type.
        """
        from cnmsim.observe.trace.trace import Trace as Recorded
        from cnmsim.observe.views import draw

        if trace is not None and not isinstance(trace, Recorded):
            raise InvalidParameter(f"{trace!r} is no trace: write lab.draw(lab.trace('web', 'db:5432'))")
        return draw(self, trace)

    def rules(
        self,
        where: object,
        table: str = "filter",
        chain: str | None = None,
        *,
        trace: Trace | None = None,
        family: int = 4,
    ) -> RulesView:
        """Return a table of packet filter rules on a host or in a container; with `chain` only that chain.

        `family` is 4 for IPv4 and 6 for IPv6. With `trace`, the chains that its packets traversed and the rules that
        decided about them are marked. Raises `NotFound` for an unknown host, container or chain, `InvalidParameter`
        for an unknown table.
        """
        from cnmsim.observe.views import rules

        return rules(self, where, table, chain, trace=trace, family=family)

    def routes(self, where: object, *, to: str = "", trace: Trace | None = None) -> RoutesView:
        """Return the routes of a host or a container.

        The route that a lookup of the address `to` selects, and the routes that packets of `trace` used, are marked.
        Raises `NotFound` for an unknown host or container, `InvalidParameter` if `to` is not an address.
        """
        from cnmsim.observe.views import routes

        return routes(self, where, to=to, trace=trace)

    def lookup(self, where: object, name: str, *, family: int = 0) -> LookupView:
        """Resolve a name as programs on a host or in a container do. Return the answer and every DNS query made.

        `where` is the host or container, or its name. `family` is 4 or 6; 0 tries IPv4 first, then IPv6. Raises
        `NotFound` for an unknown host or container.
        """
        from cnmsim.observe.views import lookup

        return lookup(self, where, name, family=family)

    def esp_keys(self) -> str:
        """Return the keys of encrypted overlay networks, as lines of Wireshark's `esp_sa` file."""
        from cnmsim.observe.capture.esp_keys import esp_keys

        return esp_keys(host.namespace for host in self.hosts.values())

    def to_mermaid(self) -> str:
        """Return the lab as a flowchart in mermaid's text format."""
        from cnmsim.observe.lab_diagram import to_mermaid

        return to_mermaid(self)

    def to_dot(self) -> str:
        """Return the lab as a graph in Graphviz's DOT language."""
        from cnmsim.observe.lab_diagram import to_dot

        return to_dot(self)

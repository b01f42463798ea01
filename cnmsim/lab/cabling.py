"""The wiring of a lab: segments with their subnets, switches, cables, and the interfaces plugged into them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.errors import Conflict, InvalidParameter, NotFound
from cnmsim.kernel.address import Prefix
from cnmsim.kernel.clock import Clock
from cnmsim.lab.naming import is_subnet, require_name
from cnmsim.suggestion import suggestion
from cnmsim.underlay import Link, PortVlans, Segment, Trunk
from cnmsim.underlay.interface import HostInterface, InterfaceSpec
from cnmsim.underlay.vlans import DEFAULT_VLAN

if TYPE_CHECKING:
    from cnmsim.lab.host import Host

_ETHERNET_MTU = 1500
#: The options of a cable that concern VLANs.
_VLAN_OPTIONS = ("access", "native", "trunk")

#: An interface, its specification, and the segment into which it is plugged.
Plug = tuple[HostInterface, InterfaceSpec, Segment]


@define(eq=False)
class Cabling:
    """The segments and cables of a lab. `hosts` are the lab's hosts by name.

    `latency_s` is the default latency of a segment, in seconds.
    """

    clock: Clock
    latency_s: float
    hosts: Mapping[str, Host] = field(repr=False)
    segments: dict[str, Segment] = field(factory=dict)
    links: list[Trunk | Link] = field(factory=list)
    _by_subnet: dict[Prefix, Segment] = field(factory=dict)
    _vlan_of: dict[Prefix, int] = field(factory=dict)

    def segment(self, name: str) -> Segment:
        """Return a segment by its name, its subnet, or an address in its subnet.

        Raises `NotFound` if no segment matches.
        """
        if name in self.segments:
            return self.segments[name]
        try:
            subnet = Prefix.parse(name, strict=False)
        except ValueError:
            raise NotFound(f"no segment named {name}{suggestion(name, self.segments)}") from None
        for prefix, segment in self._by_subnet.items():
            if prefix.overlaps(subnet):
                return segment
        raise NotFound(f"no segment carries {name}")

    def add_segment(
        self,
        name: str,
        subnets: Iterable[str],
        latency_s: float | None,
        vlans: Mapping[int, str | Iterable[str]] | None,
        options: Mapping[str, Any],
    ) -> Segment:
        """Add a segment and return it. Hosts that are added later in one of `subnets` are plugged into it.

        `vlans` maps VLANs to subnets: the segment is then a switch, and the hosts of these subnets get access ports.
        With `latency_s` None the latency is the lab's default. `options` are those of `Segment`. Raises `Conflict` if
        the name is in use or a subnet already has a segment, `InvalidParameter` for invalid values.
        """
        if not is_subnet(name):
            require_name(name)
        if name in self.segments or name in self.hosts:
            raise Conflict(f"the name {name} is taken")
        try:
            by_vlan = _subnet_vlans(vlans or {})
            prefixes = [*(Prefix.parse(text, strict=False) for text in subnets), *by_vlan]
            if by_vlan and options.get("is_hub"):
                raise ValueError("a hub has no VLANs")
            segment = Segment(
                name, self.clock, latency_s=self.latency_s if latency_s is None else latency_s, **options
            )
        except (ValueError, TypeError) as wrong:
            raise InvalidParameter(f"segment {name}: {wrong}") from None
        for prefix in prefixes:
            if prefix in self._by_subnet:
                raise Conflict(f"the subnet {prefix} has the segment {self._by_subnet[prefix].name}")
        self._by_subnet.update(dict.fromkeys(prefixes, segment))
        self._vlan_of.update(by_vlan)
        self.segments[name] = segment
        return segment

    def assign_subnet(self, subnet: Prefix, segment: str) -> None:
        """Set the segment into which hosts of `subnet` are plugged when they are added later.

        If a segment is set for the subnet already, nothing changes.
        """
        self._by_subnet.setdefault(subnet, self.segments[segment])

    def subnets_of(self, segment: Segment) -> dict[int, list[str]]:
        """Return the subnets of a segment by VLAN; the key 0 holds the subnets without a VLAN."""
        by_vlan: dict[int, list[str]] = {}
        for prefix, owner in self._by_subnet.items():
            if owner is segment:
                by_vlan.setdefault(self._vlan_of.get(prefix, 0), []).append(str(prefix))
        return by_vlan

    def segment_for(self, interface: InterfaceSpec, mtu: int) -> Segment:
        """Return the segment to which the subnets of an interface belong.

        If there is none, return a new segment whose MTU is at least `mtu`; the caller has to add it to the lab.
        Raises `InvalidParameter` if the subnets belong to several segments.
        """
        known = {self._by_subnet[p] for a in interface.addresses if (p := a.prefix) in self._by_subnet}
        if len(known) > 1:
            names = ", ".join(sorted(segment.name for segment in known))
            raise InvalidParameter(
                f"{', '.join(interface.subnets)} are on different segments: {names} "
                "(an IPv6 address shares the interface of the address before it)"
            )
        if known:
            return known.pop()
        name = interface.subnets[0]
        return Segment(name, self.clock, latency_s=self.latency_s, mtu=max(_ETHERNET_MTU, mtu))

    @contextmanager
    def plugged(self, plugs: Sequence[Plug]) -> Iterator[None]:
        """Plug interfaces into segments, as `plugs` lists, at the start of a `with` block.

        If plugging or the block raises an error, the previous wiring is restored.
        """
        by_subnet, segments = dict(self._by_subnet), dict(self.segments)
        done: list[Plug] = []
        try:
            for plug in plugs:
                interface, spec, segment = plug
                self.segments.setdefault(segment.name, segment)
                for address in spec.addresses:
                    self._by_subnet.setdefault(address.prefix, segment)
                segment.attach(interface, vlans=self._port_vlans(spec))
                done.append(plug)
            yield
        except BaseException:
            for interface, _, segment in done:
                segment.detach(interface)
            self._by_subnet = by_subnet
            self.segments = segments
            raise

    def link(self, left: str, right: str, options: dict[str, Any]) -> Trunk | Link | Segment:
        """Connect `left` and `right` by a cable: two interfaces, two switches, or an interface and a switch.

        An end is the name of a switch, an interface such as `node1:eth1`, or a host, which means its `eth0`.
        `options` are those of `Lab.link`. Return the new link or trunk, or the switch into which the interface was
        plugged. Raises `NotFound` for an unknown end, `InvalidParameter` for invalid options.
        """
        ends: list[Any] = [self._end(left), self._end(right)]
        try:
            vlans = _take_port_vlans(options)
            if isinstance(ends[0], Segment) and isinstance(ends[1], Segment):
                trunk = Trunk(ends[0], ends[1], vlans=vlans, **options)
                self.links.append(trunk)
                return trunk
            if vlans is not None and not any(isinstance(end, Segment) for end in ends):
                raise ValueError("VLANs are a matter of a switch's ports, and this cable is in none")
            for end in ends:
                if isinstance(end, HostInterface) and isinstance(end.link, Segment):
                    end.link.detach(end)
            switch: Segment | None = next((end for end in ends if isinstance(end, Segment)), None)
            if switch is not None:
                switch.attach(ends[ends[0] is switch], vlans=vlans, **options)
                return switch
            link = Link(f"{left}--{right}", self.clock, *ends, **{"latency_s": self.latency_s, **options})
        except (ValueError, TypeError) as wrong:
            raise InvalidParameter(f"link {left} {right}: {wrong}") from None
        self.links.append(link)
        self.segments[link.name] = link
        return link

    def _port_vlans(self, interface: InterfaceSpec) -> PortVlans | None:
        """Return the VLAN configuration of the switch port for an interface.

        The port is an access port of the VLAN to which the interface's subnet belongs. Return `None` if the subnet
        has no VLAN. Raises `InvalidParameter` if the interface has subnets of several VLANs.
        """
        vlans = {self._vlan_of[a.prefix] for a in interface.addresses if a.prefix in self._vlan_of}
        if len(vlans) > 1:
            listed = " and ".join(f"VLAN {vlan}" for vlan in sorted(vlans))
            raise InvalidParameter(f"{', '.join(interface.subnets)} are in {listed}")
        return PortVlans.access(vlans.pop()) if vlans else None

    def _end(self, text: str) -> Segment | HostInterface:
        if text in self.segments:
            return self.segments[text]
        host, _, device = text.partition(":")
        if host in self.hosts:
            for interface in self.hosts[host].interfaces:
                if interface.name == (device or "eth0"):
                    return interface
        raise NotFound(f"no switch or interface named {text}")


def _subnet_vlans(vlans: Mapping[int, str | Iterable[str]]) -> dict[Prefix, int]:
    """Return the VLAN of each subnet. `vlans` maps VLANs to subnets: `{100: "10.0.0.0/24", 200: ["192.168.3.0/24"]}`.

    Raises `ValueError` for an invalid VLAN or subnet, or a subnet in two VLANs.
    """
    by_prefix: dict[Prefix, int] = {}
    for vlan, subnets in vlans.items():
        PortVlans.access(vlan)
        for text in [subnets] if isinstance(subnets, str) else subnets:
            prefix = Prefix.parse(text, strict=False)
            if by_prefix.setdefault(prefix, vlan) != vlan:
                raise ValueError(f"{prefix} is in VLAN {by_prefix[prefix]} and VLAN {vlan}")
    return by_prefix


def _take_port_vlans(options: dict[str, Any]) -> PortVlans | None:
    """Remove the VLAN options from a cable's options and return them as an object; `None` if there are none.

    `access` is the VLAN of an access port. `trunk` is a list of the tagged VLANs of a trunk, or `"all"`; `native` is
    the trunk's untagged VLAN (default 1), or `None` for none. Raises `ValueError` for invalid or contradictory
    options.
    """
    vlan_options = {name: options.pop(name) for name in _VLAN_OPTIONS if name in options}
    if not vlan_options:
        return None
    if "access" in vlan_options:
        if len(vlan_options) > 1:
            raise ValueError("a port is either access or trunk")
        return PortVlans.access(vlan_options["access"])
    if "trunk" not in vlan_options:
        raise ValueError("native is the untagged VLAN of a trunk: say which VLANs the trunk carries")
    trunk = vlan_options["trunk"]
    if isinstance(trunk, str) and trunk != "all":
        raise ValueError(f'a trunk carries a list of VLANs, or "all": {trunk!r}')
    return PortVlans.trunk(None if trunk == "all" else trunk, vlan_options.get("native", DEFAULT_VLAN))

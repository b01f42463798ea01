"""A network namespace: devices, addresses, routes, neighbours, packet filter and sockets, isolated as in Linux."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import evolve

from cnmsim.kernel import arp
from cnmsim.kernel.address import Address
from cnmsim.kernel.device import ETHERNET_HEADER, Device, Loopback
from cnmsim.kernel.devicesysctls import split_device_key
from cnmsim.kernel.events import Detail, DropReason, Event, Step
from cnmsim.kernel.fibrules import FibRule, FibRules
from cnmsim.kernel.ip import IpLayer
from cnmsim.kernel.ipvs import Ipvs
from cnmsim.kernel.ipvs.sysctls import DEFAULTS as IPVS_SYSCTLS
from cnmsim.kernel.localaddresses import LocalAddresses
from cnmsim.kernel.neighbour import NeighbourTable
from cnmsim.kernel.netfilter import Netfilter
from cnmsim.kernel.offload.flow_cache import Flow, FlowCache
from cnmsim.kernel.output_routing import RoutingDecision
from cnmsim.kernel.packet import MalformedPacketError
from cnmsim.kernel.pathmtu import UNKNOWN, PathMtu
from cnmsim.kernel.route import Route, RoutingTable, with_nexthop
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.sockets import SocketTable
from cnmsim.kernel.source_address import select_source
from cnmsim.kernel.sysctl import Sysctl

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock
    from cnmsim.kernel.machine import Machine
    from cnmsim.kernel.xfrm import Xfrm


class NetworkNamespace:
    """One network stack. `name` is the name of the host or container in traces.

    `generation` changes whenever an address, a route, a link or a sysctl changes. Caches compare it to detect that
    they are out of date.
    """

    __slots__ = (
        "_highest_requested_index", "_ipvs", "_next_index", "_protocols", "add_address", "address_type", "addresses",
        "bridges_through_netfilter", "clock", "devices", "filters_reverse_path", "flows", "forwards4", "forwards6",
        "generation", "has_address", "ip", "is_broadcast", "is_local", "loopback", "machine", "name", "neighbours",
        "netfilter", "on_destroy", "path_mtu", "remove_address", "reroute", "route_output", "routes4", "routes6",
        "rules4", "rules6", "send", "send_icmp_error", "sockets", "sysctl", "tunnels", "xfrm",
    )  # fmt: skip

    def __init__(self, name: str, clock: Clock, machine: Machine | None = None) -> None:
        self.name = name
        self.clock = clock
        self.machine = machine
        self.devices: dict[str, Device] = {}
        self.generation = 0
        self.routes4, self.routes6 = RoutingTable(4, self._invalidate), RoutingTable(6, self._invalidate)
        #: Policy routing; `None` until `fib_rules` creates it.
        self.rules4: FibRules | None = None
        self.rules6: FibRules | None = None
        self.sysctl = Sysctl()
        self.sysctl.declare(IPVS_SYSCTLS)
        self.path_mtu = PathMtu(clock, self._invalidate)
        self.forwards4 = self.forwards6 = False
        self.filters_reverse_path = False
        self.bridges_through_netfilter = False
        self._next_index = 1
        #: The highest interface index that a device kept when it was moved into this namespace.
        self._highest_requested_index = 0
        self._protocols: dict[int, Callable[[Packet], None]] = {}
        self.on_destroy: list[Callable[[], None]] = []
        #: Tunnel devices created here, even if they have moved to another namespace: their outer packets use this
        #: stack.
        self.tunnels: list[Device] = []
        #: IPsec; `None` until `xfrm_of` creates it.
        self.xfrm: Xfrm | None = None
        self.addresses = LocalAddresses(self)
        self.add_address = self.addresses.add
        self.remove_address = self.addresses.remove
        self.has_address = self.addresses.has
        self.is_local = self.addresses.is_local
        self.is_broadcast = self.addresses.is_broadcast
        self.address_type = self.addresses.type_of
        self.neighbours = NeighbourTable(self)
        self.ip = IpLayer(self)
        self.send = self.ip.send
        self.send_icmp_error = self.ip.icmp.send_error
        self.route_output = self.ip.route_output
        self.reroute = self.ip.reroute
        self.netfilter = Netfilter(self)
        self.sockets = SocketTable(self)
        self._ipvs: Ipvs | None = None
        self.flows = FlowCache(self)
        self.loopback = Loopback(clock)
        self.add_device(self.loopback)

    def __repr__(self) -> str:
        return f"<NetworkNamespace {self.name}>"

    @property
    def ipvs(self) -> Ipvs:
        """The IPVS load balancer, created on first use."""
        if self._ipvs is None:
            self._ipvs = Ipvs(self)
        return self._ipvs

    def routes(self, family: int) -> RoutingTable:
        """Return the main routing table of a family (4 or 6)."""
        return self.routes4 if family == 4 else self.routes6

    def fib_rules(self, family: int) -> FibRules:
        """Return the policy routing rules of a family (4 or 6), creating the default rules on first use.

        Before the first use, a route lookup reads the main table only. Afterwards it evaluates the rules.
        """
        if family == 4:
            self.rules4 = self.rules4 or FibRules(self.routes4, self._invalidate)
            return self.rules4
        self.rules6 = self.rules6 or FibRules(self.routes6, self._invalidate)
        return self.rules6

    def find_route(
        self, dst: Address, outdev: Device | None = None,
        *, src: Address | None = None, indev: Device | None = None, mark: int = 0,
    ) -> Route | None:  # fmt: skip
        """Return the route to a destination that is not local, or `None` if there is none.

        `outdev` restricts the lookup to one device. Policy routing rules are matched against `src`, `indev` and
        `mark`.
        """
        rules, table = (self.rules4, self.routes4) if len(dst) == 4 else (self.rules6, self.routes6)
        return table.lookup(dst, outdev) if rules is None else rules.find(dst, src, indev, outdev, mark)[0]

    def route_rule(
        self, dst: Address, outdev: Device | None = None,
        *, src: Address | None = None, indev: Device | None = None, mark: int = 0,
    ) -> FibRule | None:  # fmt: skip
        """Return the policy rule that selects the routing table for a packet, for the same arguments as `find_route`.

        Return `None` if it is one of the default rules.
        """
        rules = self.rules4 if len(dst) == 4 else self.rules6
        rule = None if rules is None else rules.find(dst, src, indev, outdev, mark)[1]
        return None if rules is None or rule in rules.default_rules else rule

    # --- devices

    def add_device(self, device: Device, name: str | None = None, index: int = 0) -> None:
        """Add a device with the name `name`, by default its present name.

        `index` is its interface index if that is free. Raises `OSError` if the name is in use or invalid, as
        `rename_device` does.
        """
        name = name or device.name
        self._require_free(name)
        device.name = name
        device.namespace = self
        device.index = self._free_index(index)
        self.devices[name] = device
        self._apply_link(device)
        self.topology_changed()

    def _require_free(self, name: str) -> None:
        """Raise `OSError` if the name is in use or invalid (dev_valid_name)."""
        if not 0 < len(name) <= 15:
            raise OSError(errno.ERANGE, "numerical result out of range", name)
        if name in {".", ".."} or any(letter in "/:" or letter.isspace() for letter in name):
            raise OSError(errno.EINVAL, "Invalid argument", name)
        if name in self.devices:
            raise OSError(errno.EEXIST, "File exists", name)

    def _free_index(self, requested: int) -> int:
        """Return the interface index `requested` if it is free, else the next free one (dev_index_reserve)."""
        if requested and not self._has_index(requested):
            self._highest_requested_index = max(self._highest_requested_index, requested)
            return requested
        while self._next_index <= self._highest_requested_index and self._has_index(self._next_index):
            self._next_index += 1
        self._next_index += 1
        return self._next_index - 1

    def _has_index(self, index: int) -> bool:
        return any(device.index == index for device in self.devices.values())

    def remove_device(self, device: Device) -> None:
        """Delete a device; deleting one end of a veth pair deletes both. Raises `OSError(EOPNOTSUPP)` for lo."""
        if device is self.loopback:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        peer = getattr(device, "peer", None)
        device.set_down()
        device.detach()
        self._detach_device(device)
        if isinstance(peer, Device) and peer.namespace is not None:
            peer.namespace.remove_device(peer)

    def move_device(self, device: Device, other: NetworkNamespace, name: str | None = None) -> None:
        """Move a device into another namespace, where it is named `name`, by default its present name.

        The device goes down and loses its addresses and routes, as in Linux. Raises `OSError` if the name is in use
        or invalid, as `rename_device` does.
        """
        other._require_free(name or device.name)
        device.set_down()
        if device.master is not None:
            device.master.remove_port(device)
        device.has_qdisc = False
        index = device.index
        self._detach_device(device)
        other.add_device(device, name, index)

    def rename_device(self, device: Device, name: str) -> None:
        """Rename a device.

        Raises `OSError`: EEXIST if the name is in use, ERANGE if it has over 15 characters, EINVAL if it contains a
        slash, a colon or white space.
        """
        self._require_free(name)
        self.sysctl.rename_device(device.name, name)
        self.devices = {(name if d is device else n): d for n, d in self.devices.items()}
        device.name = name
        self.topology_changed()

    def _remove_routes(self, device: Device) -> None:
        for table in (self.routes4, self.routes6):
            table.remove_device(device)
        for rules in (self.rules4, self.rules6):
            if rules is not None:
                rules.remove_device(device)

    def _detach_device(self, device: Device) -> None:
        self._remove_routes(device)
        self.neighbours.remove_device(device)
        del self.devices[device.name]
        self.sysctl.forget_device(device.name)
        device.namespace = None
        device.index = 0
        self.addresses.remove_device(device)
        self.topology_changed()

    def link_changed(self, device: Device) -> None:
        """Update addresses, routes and caches after a device went up or down or its carrier changed."""
        if not device.is_up:
            self.netfilter.conntrack.device_down(device)
        self._apply_link(device)
        self.topology_changed()

    def _apply_link(self, device: Device) -> None:
        if device.namespace is not self:
            return
        if not device.is_up:
            self._remove_routes(device)
            self.neighbours.remove_device(device)
            self.addresses.remove_ipv6(device)
        else:
            self.addresses.link_up(device)

    def ipv6_disabled(self, device: Device) -> bool:
        """Return True if IPv6 is off on a device: by `disable_ipv6`, or because its MTU is too small."""
        return (
            not device.carries_ipv6
            or self.sysctl.get("net.ipv6.conf.all.disable_ipv6") == "1"
            or self.sysctl.device(6, device.name, "disable_ipv6") == "1"
        )

    def _invalidate(self) -> None:
        self.generation += 1

    def topology_changed(self) -> None:
        """Invalidate every cache that depends on devices, links or addresses."""
        self.generation += 1
        self.routes4.invalidate()
        self.routes6.invalidate()
        for rules in (self.rules4, self.rules6):
            if rules is not None:
                rules.clear_caches()

    def select_source(self, dst: Address, outdev: Device, final: Address | None = None) -> Address | None:
        """Return the source address for packets to the next hop `dst` out of `outdev`, or `None` if there is none.

        `final` is the packet's destination if `dst` is a gateway.
        """
        return select_source(dst, outdev, self.devices.values(), final)

    # --- routes and sysctls

    def add_route(self, route: Route, table: RoutingTable | None = None) -> None:
        """Add a route as `ip route add` does, to the main table unless `table` is given.

        A route without a device gets the device that reaches its gateway.

        Raises `OSError`: EEXIST, ENETUNREACH if the gateway is not on a link, ENETDOWN if the device is down.
        """
        table = self.routes(route.prefix.family) if table is None else table
        if route.kind == "unicast":
            route = with_nexthop(route, self)
        if route.prefix.family == 6 and not route.metric:
            route = evolve(route, metric=1024)
        table.add(route)
        self.topology_changed()

    def remove_route(self, route: Route, table: RoutingTable | None = None) -> None:
        """Remove a route, from the main table unless `table` is given.

        Raises `OSError(ESRCH)` if it does not exist.
        """
        (self.routes(route.prefix.family) if table is None else table).remove(route)
        self.topology_changed()

    def sysctl_get(self, key: str) -> str:
        """Return the value of a sysctl. Raises `OSError(ENOENT)` for an unknown key."""
        self._require_sysctl(key)
        if key == "net.netfilter.nf_conntrack_count":
            return str(len(self.netfilter.conntrack.entries()))
        return self.sysctl.get(key)

    def sysctl_items(self) -> list[tuple[str, str]]:
        """Return all sysctls with their values, sorted by key."""
        items = self.sysctl.items(("all", "default", *self.devices))
        return [(key, value) for key, value in items if self._has_sysctl(key)]

    def _has_sysctl(self, key: str) -> bool:
        """Return True if the sysctl `key` exists here.

        A key does not exist if it names a device that does not exist, or an IPv6 setting of a device without IPv6.
        """
        start, name, _ = split_device_key(key)
        if not start or name == "default" or (name == "all" and start.endswith(".conf.")):
            return True
        device = self.devices.get(name)
        return device is not None and (device.carries_ipv6 or not start.startswith("net.ipv6"))

    def _require_sysctl(self, key: str) -> None:
        if not self._has_sysctl(key):
            raise OSError(errno.ENOENT, "No such file or directory", key)

    def ipv6_support_changed(self, device: Device) -> None:
        """Reset a device's IPv6 addresses and sysctls after its MTU crossed IPv6's minimum of 1280 bytes."""
        self.sysctl.forget_device(device.name, 6)
        self.addresses.disable_ipv6_changed()

    def sysctl_set(self, key: str, value: str, *, allow_missing_device: bool = False) -> None:
        """Set a sysctl and apply it. `allow_missing_device` permits a key of a device that does not exist yet.

        Raises `OSError` for an unknown key or an invalid value.
        """
        if not allow_missing_device:
            self._require_sysctl(key)
        self.sysctl.set(key, value)
        self.generation += 1
        if "forward" in key:
            self.forwards4 = self.sysctl.get("net.ipv4.ip_forward") == "1"
            self.forwards6 = self.sysctl.get("net.ipv6.conf.all.forwarding") == "1"
        elif key.startswith("net.bridge."):
            calls = (self.sysctl.get(f"net.bridge.bridge-nf-call-{program}") for program in ("iptables", "ip6tables"))
            self.bridges_through_netfilter = "1" in calls
        if key.endswith(".rp_filter") and value != "0":
            self.filters_reverse_path = True
        if key.endswith(".disable_ipv6"):
            self.addresses.disable_ipv6_changed()

    def sent_flow(self, decision: RoutingDecision, dst: Address, sport: int, dport: int) -> Flow | None:
        """Return the cached flow of UDP datagrams from `sport` to `dst` and `dport`, or `None` if it is not cached.

        The flow must have been cached for the same routing decision as `decision`.
        """
        flow = self.flows.sent_flow(decision, dst, sport, dport)
        # A learnt path MTU expires without a change of `generation`.
        return flow if flow is not None and self.path_mtu.to(dst) == UNKNOWN else None

    def mtu_of(self, dst: Address) -> int:
        """Return the path MTU to `dst` in bytes. Raises `OSError` if there is no route."""
        return self.route_output(dst).mtu

    # --- packets

    def input(self, frame: bytes, device: Device, packet: Packet | None = None) -> None:
        """Process a frame that a device received.

        `packet` is the frame's IP packet if the bridge has already run PREROUTING on it, else `None`.
        """
        is_unobserved = packet is None and self.clock.context is None
        if is_unobserved:  # the flow cache lookup is inlined: one more call per frame would show in every benchmark
            known = self.flows.received
            flow = known.get((device, frame[26:38])) or (
                known.get((device, frame[22:58])) if frame[12] == 0x86 else None
            )
            if flow is not None and flow.receive(frame, device):
                return
        dst = frame[:6]
        if dst != device.mac and not dst[0] & 1 and device is not self.loopback:
            device.drop(frame, DropReason.NOT_FOR_US)
            return
        ethertype = frame[12:14]
        if ethertype == b"\x08\x06":
            if device is not self.loopback:
                arp.receive(self, frame, device)
            return
        if ethertype != b"\x08\x00" and ethertype != b"\x86\xdd":  # noqa: PLR1714 - the hot path
            if ethertype == b"\x81\x00":
                vid = int.from_bytes(frame[14:16]) & 0xFFF
                reason = DropReason.NOT_FOR_US if dst[0] & 1 else DropReason.NO_VLAN
                device.drop(frame, reason, f"{device.name} has no interface for VLAN {vid}")
                return
            device.drop(frame, DropReason.NO_PROTOCOL, f"Ethernet type 0x{ethertype.hex()}")
            return
        prerouted = packet is not None
        if packet is None:
            try:
                packet = Packet(frame[ETHERNET_HEADER:], device)
            except MalformedPacketError as error:
                device.drop(frame, DropReason.MALFORMED, str(error))
                return
            if is_unobserved:
                self.flows.record_received(frame, packet, device)
        if (packet.family == 4) != (ethertype == b"\x08\x00"):
            device.drop(frame, DropReason.MALFORMED, "Ethernet type and IP version differ")
            return
        if packet.family == 6 and self.ipv6_disabled(device):
            device.drop(frame, DropReason.IPV6_DISABLED)
            return
        self.ip.input(packet, prerouted=prerouted)

    def register_protocol(self, protocol: int, handler: Callable[[Packet], None]) -> None:
        """Register `handler` for packets of an IP protocol that has no sockets, such as ESP."""
        self._protocols[protocol] = handler

    def deliver_to_handler(self, packet: Packet) -> bool:
        """Pass a packet to the handler of its protocol. Return False if none is registered."""
        handler = self._protocols.get(packet.protocol)
        if handler is None:
            return False
        handler(packet)
        return True

    def report(
        self,
        step: Step,
        what: str,
        packet: Packet | bytes,
        *,
        device: str = "",
        decision: str = "",
        reason: DropReason | None = None,
        is_frame: bool = False,
        detail: Detail | None = None,
    ) -> None:
        """Report an event to the observer, and also to the meter if the event is a drop.

        Callers test `clock.context` first, or `clock.observes_drops` for a drop: that is cheaper than the call.
        `device` is by default the packet's output or input device. The other parameters are the fields of `Event`.
        """
        observer, meter = self.clock.context, self.clock.meter if step is Step.DROPPED else None
        if observer is None and meter is None:
            return
        data = packet.data if isinstance(packet, Packet) else packet
        if not device and isinstance(packet, Packet):
            at = packet.outdev or packet.indev
            device = at.name if at is not None else ""
        event = Event(self.clock.now_ns, self.name, device, step, what, decision, data, is_frame, reason, detail)
        if observer is not None:
            observer.report(event)
        if meter is not None:
            meter.dropped(event)

    def drop(
        self,
        packet: Packet,
        reason: DropReason,
        what: str = "",
        *,
        device: str = "",
        decision: str = "",
        detail: Detail | None = None,
    ) -> None:
        """Report a dropped packet with its reason; the caller must then stop processing the packet.

        `what` is the text of the report; "" means the text of `reason`. The other parameters are as in `report`.
        """
        if self.clock.observes_drops:
            what = what or reason.value
            self.report(Step.DROPPED, what, packet, device=device, decision=decision, reason=reason, detail=detail)

    def destroy(self) -> None:
        """Delete every device and close every socket."""
        for call in self.on_destroy:
            call()
        self.sockets.close_all()
        for device in list(self.devices.values()):
            if device is not self.loopback:
                self.remove_device(device)
        for tunnel in list(self.tunnels):
            if tunnel.namespace is not None:
                tunnel.namespace.remove_device(tunnel)
        self.loopback.set_down()

"""The IP layer of one namespace (Linux: net/ipv4/ip_{input,forward,output}.c).

One path serves both families. Netfilter's five hooks run where Linux runs them.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from cnmsim.kernel.address import (
    IPV4_BROADCAST,
    MAC_BROADCAST,
    MAC_ZERO,
    Address,
    format_ip,
    is_link_local,
    is_loopback,
    is_multicast,
    multicast_mac,
)
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.events import DropReason, MtuLimit, Step
from cnmsim.kernel.fibrules import decision_text
from cnmsim.kernel.fragment import Reassembly, fragment
from cnmsim.kernel.icmp import Icmp
from cnmsim.kernel.netfilter import Hook
from cnmsim.kernel.output_routing import OutputRouting, RoutingDecision
from cnmsim.kernel.packet import (
    ADDRESS_UNREACHABLE,
    HOP_LIMIT_EXCEEDED,
    NO_ROUTE,
    PROHIBITED,
    REASSEMBLY_EXCEEDED,
    TOO_BIG,
    build_ip,
)
from cnmsim.kernel.route import Route
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.fibrules import FibRule
    from cnmsim.kernel.namespace import NetworkNamespace

_MAX_CACHED_INPUTS = 65536
#: IPV6_FRAG_TIMEOUT in include/net/ipv6.h (RFC 8200 §4.5).
_IPV6_FRAGMENT_TIMEOUT_S = 60
_PREROUTING, _INPUT, _FORWARD, _OUTPUT, _POSTROUTING = Hook
_ROUTE_DROPS = {
    "unreachable": DropReason.UNREACHABLE_ROUTE,
    "prohibit": DropReason.PROHIBIT_ROUTE,
    "blackhole": DropReason.BLACKHOLE_ROUTE,
}


class IpLayer:
    """IPv4 and IPv6 of one namespace."""

    __slots__ = (
        "_identification", "_inputs", "_inputs_generation", "_namespace", "icmp", "reassembly", "route_output",
    )  # fmt: skip

    def __init__(self, namespace: NetworkNamespace) -> None:
        self._namespace = namespace
        self._identification: int | None = None
        self.route_output = OutputRouting(namespace).route
        # Caches whether a packet is for local delivery (else it is forwarded), by source, destination and input
        # device. Only for packets whose addresses passed `_is_martian`.
        self._inputs: dict[tuple[Address, Address, Device], bool] = {}
        self._inputs_generation = -1
        self.icmp = Icmp(namespace)
        self.reassembly = Reassembly(namespace.clock, self._fragment_timeout_ns, self._reassembly_timed_out)

    # --- input

    def input(self, packet: Packet, *, prerouted: bool = False) -> None:
        """Process a packet that a device received: PREROUTING, then local delivery or forwarding.

        `prerouted` skips PREROUTING, because the bridge has already run it.
        """
        namespace = self._namespace
        netfilter = namespace.netfilter
        device = packet.indev
        assert device is not None
        if netfilter.is_active and not prerouted:
            if packet.more_fragments or packet.fragment_offset:
                whole = self.defragment(packet)
                if whole is None:
                    return
                packet = whole
            if not netfilter.run(_PREROUTING, packet):
                return
        if namespace.generation != self._inputs_generation:
            self._inputs.clear()
            self._inputs_generation = namespace.generation
        key = (packet.src, packet.dst, device)
        # With policy routing the packet's mark may also decide whether the source passes the reverse path filter.
        is_ours = self._inputs.get(key) if namespace.rules4 is None else None
        if is_ours is None:
            if self._is_martian(packet, device):
                return
            if len(self._inputs) > _MAX_CACHED_INPUTS:
                self._inputs.clear()
            is_ours = self._inputs[key] = self._is_local_destination(packet.dst)
        if is_ours:
            self._deliver(packet)
        else:
            self._forward(packet)

    def _is_local_destination(self, dst: Address) -> bool:
        namespace = self._namespace
        return namespace.is_local(dst) or is_multicast(dst) or dst == IPV4_BROADCAST or namespace.is_broadcast(dst)

    def _is_martian(self, packet: Packet, device: Device) -> bool:
        """Check the addresses of a received packet. Return True if they are impossible and the packet was dropped.

        Source: ip_route_input_slow, fib_validate_source.
        """
        namespace = self._namespace
        if device.kind == "loopback":
            return False
        src, dst = packet.src, packet.dst
        if is_multicast(src) or src == IPV4_BROADCAST:
            namespace.drop(packet, DropReason.MARTIAN, f"source {format_ip(src)}")
            return True
        if is_loopback(dst) or is_loopback(src):
            if packet.family == 4 and namespace.sysctl.device(4, device.name, "route_localnet") == "1":
                return False
            which = "destination" if is_loopback(dst) else "source"
            namespace.drop(packet, DropReason.MARTIAN, f"loopback {which} on {device.name}")
            return True
        if packet.family == 4 and namespace.is_local(src) and not is_link_local(src):
            if namespace.sysctl.device(4, device.name, "accept_local") == "1":
                return False
            namespace.drop(packet, DropReason.MARTIAN, f"source {format_ip(src)} is this host's own")
            return True
        return packet.family == 4 and namespace.filters_reverse_path and self._fails_reverse_path(packet, device)

    def _fails_reverse_path(self, packet: Packet, device: Device) -> bool:
        namespace = self._namespace
        mode = max(
            int(namespace.sysctl_get("net.ipv4.conf.all.rp_filter")),
            int(namespace.sysctl.device(4, device.name, "rp_filter")),
        )
        if not mode:
            return False
        counts = "1" in (
            namespace.sysctl_get("net.ipv4.conf.all.src_valid_mark"),
            namespace.sysctl.device(4, device.name, "src_valid_mark"),
        )
        back = namespace.find_route(packet.src, src=packet.dst, mark=packet.mark if counts else 0)
        if back is not None and (mode == 2 or back.device is device):
            return False
        namespace.drop(
            packet, DropReason.REVERSE_PATH, f"the way back to {format_ip(packet.src)} is not {device.name}",
            decision=str(back or "no route"),
        )  # fmt: skip
        return True

    def defragment(self, packet: Packet) -> Packet | None:
        """Reassemble a fragment with the other fragments of its packet, if conntrack or IPVS is active (nf_defrag).

        Return the whole packet, or `None` while fragments are missing. A packet that is no fragment, or any packet if
        neither is active, is returned unchanged.
        """
        if not packet.more_fragments and not packet.fragment_offset:
            return packet
        netfilter = self._namespace.netfilter
        return self._reassemble(packet) if netfilter.ipvs or netfilter.tracks(packet.family) else packet

    def _reassemble(self, packet: Packet) -> Packet | None:
        namespace = self._namespace
        whole = self.reassembly.add(packet)
        if whole is not None and namespace.clock.context is not None:
            namespace.report(Step.REASSEMBLED, f"{len(whole.data)} bytes reassembled", whole)
        return whole

    def _fragment_timeout_ns(self, family: int) -> int:
        seconds = int(self._namespace.sysctl_get("net.ipv4.ipfrag_time")) if family == 4 else _IPV6_FRAGMENT_TIMEOUT_S
        return seconds * NS_PER_S

    def _reassembly_timed_out(self, first: Packet) -> None:
        self._namespace.drop(first, DropReason.REASSEMBLY_TIMEOUT)
        self.icmp.send_error(first, *REASSEMBLY_EXCEEDED[first.family])

    def _deliver(self, packet: Packet) -> None:
        namespace = self._namespace
        if packet.more_fragments or packet.fragment_offset:
            whole = self._reassemble(packet)
            if whole is None:
                return
            packet = whole
        netfilter = namespace.netfilter
        if netfilter.is_active and not netfilter.run(_INPUT, packet):
            return
        if namespace.xfrm is not None and not namespace.xfrm.check_input_policy(packet):
            return
        if packet.recording is not None:
            namespace.flows.keep(packet)
        self.deliver_to_protocol(packet)

    def deliver_to_protocol(self, packet: Packet) -> None:
        """Pass a packet for this namespace, which has passed INPUT, to its protocol (ip_protocol_deliver_rcu)."""
        namespace = self._namespace
        protocol = packet.protocol
        if protocol == 17 or protocol == 6:  # noqa: PLR1714 - the hot path
            namespace.sockets.deliver(packet)
        elif protocol == (1 if packet.family == 4 else 58):
            self.icmp.input(packet)
        elif not namespace.deliver_to_handler(packet):
            namespace.drop(packet, DropReason.NO_PROTOCOL, f"IP protocol {protocol}")
            if packet.family == 4:
                self.icmp.send_error(packet, 3, 2)
            else:
                self.icmp.send_error(packet, 4, 1, 6)

    # --- forwarding

    def _forward(self, packet: Packet) -> None:
        namespace = self._namespace
        family = packet.family
        if family == 4 and not namespace.forwards4:
            namespace.drop(packet, DropReason.FORWARDING_DISABLED, decision="net.ipv4.ip_forward = 0")
            return
        route = namespace.find_route(packet.dst, src=packet.src, indev=packet.indev, mark=packet.mark)
        if route is None or route.kind != "unicast":
            self._drop_unroutable(packet, route)
            return
        # Checked after the route lookup: without a route Linux sends an ICMP error even if it does not forward.
        if family == 6 and not namespace.forwards6:
            namespace.drop(packet, DropReason.FORWARDING_DISABLED, decision="net.ipv6.conf.all.forwarding = 0")
            return
        if family == 6 and (is_link_local(packet.src) or is_link_local(packet.dst)):
            namespace.drop(packet, DropReason.MARTIAN, "link-local addresses are not forwarded")
            return
        outdev = route.device
        assert outdev is not None
        if packet.ttl <= 1:
            namespace.drop(packet, DropReason.TTL_EXCEEDED)
            self.icmp.send_error(packet, *HOP_LIMIT_EXCEEDED[family])
            return
        mtu = min(outdev.mtu, route.mtu or 65535)
        if len(packet.data) > mtu and packet.dont_fragment and (packet.frag_max_size or 65536) > mtu:
            self._too_big(packet, mtu, outdev)
            return
        packet.set_ttl(packet.ttl - 1)
        packet.outdev = outdev
        packet.nexthop = route.gateway or packet.dst
        if namespace.clock.context is not None:
            namespace.report(
                Step.ROUTED, f"forwarded to {outdev.name}", packet,
                device=outdev.name, decision=decision_text(route, self._rule_for(packet)),
            )  # fmt: skip
        netfilter = namespace.netfilter
        if netfilter.is_active and not (netfilter.run(_FORWARD, packet) and netfilter.run(_POSTROUTING, packet)):
            return
        self.finish_output(packet)

    def _rule_for(self, packet: Packet) -> FibRule | None:
        return self._namespace.route_rule(packet.dst, src=packet.src, indev=packet.indev, mark=packet.mark)

    def _drop_unroutable(self, packet: Packet, route: Route | None) -> None:
        namespace = self._namespace
        family = packet.family
        rule = self._rule_for(packet)
        if route is None:
            if rule is not None and rule.action != "lookup":
                namespace.drop(packet, DropReason.UNREACHABLE_ROUTE, decision=decision_text(None, rule))
            else:
                namespace.drop(packet, DropReason.NO_ROUTE, f"no route to {format_ip(packet.dst)}")
            self.icmp.send_error(packet, *NO_ROUTE[family])
            return
        namespace.drop(packet, _ROUTE_DROPS[route.kind], decision=decision_text(route, rule))
        if route.kind == "unreachable":
            self.icmp.send_error(packet, *(ADDRESS_UNREACHABLE if family == 4 else NO_ROUTE)[family])
        elif route.kind == "prohibit":
            self.icmp.send_error(packet, *PROHIBITED[family])

    def _too_big(self, packet: Packet, mtu: int, outdev: Device) -> None:
        namespace = self._namespace
        what = f"{len(packet.data)} bytes, MTU of {outdev.name} is {mtu}"
        namespace.drop(packet, DropReason.FRAGMENTATION_NEEDED, what, device=outdev.name, detail=MtuLimit(mtu))
        self.icmp.send_error(packet, *TOO_BIG[packet.family], mtu)

    # --- output

    def send(
        self,
        protocol: int,
        decision: RoutingDecision,
        dst: Address,
        message: bytes,
        *,
        ttl: int = 64,
        tos: int = 0,
        dont_fragment: bool = True,
        may_fragment: bool = True,
        mark: int = 0,
    ) -> None:
        """Send a transport message from this namespace to `dst`, along the route in `decision`.

        `protocol` is the IP protocol number of `message`. `dont_fragment` sets DF on a packet that fits the MTU; a
        larger packet is fragmented if `may_fragment`. Raises `OSError`: EMSGSIZE if it does not fit and must not be
        fragmented, EPERM if a filter drops it in OUTPUT.
        """
        namespace = self._namespace
        size = (20 if len(dst) == 4 else 40) + len(message)
        fits = size <= decision.mtu
        if (not fits and not may_fragment) or size > 65535 + (40 if len(dst) == 16 else 0):
            raise OSError(errno.EMSGSIZE, "Message too long")
        identification = 0
        keep_df = dont_fragment and fits
        if not keep_df or protocol == 6:
            identification = self._next_identification()
        data = build_ip(
            protocol, decision.src, dst, message,
            ttl=ttl, tos=tos, identification=identification, dont_fragment=keep_df,
        )  # fmt: skip
        clock = namespace.clock
        flow_key = None
        if clock.context is None and fits and not mark and namespace.netfilter.replied_packet is None:
            flow_key = (protocol, decision.src, dst, message[:4])
            flow = namespace.flows.sent.get(flow_key)
            if flow is not None and flow.decision is decision and flow.send(data):
                return
        packet = Packet.outgoing(data, protocol, decision.src, dst, ttl)
        packet.outdev = decision.outdev
        packet.nexthop = decision.gateway or dst
        packet.mark = mark
        if not fits:
            packet.frag_max_size = decision.mtu
        if flow_key is not None:
            namespace.flows.record_sent(packet, flow_key, decision)
        self._output_local(packet, decision)

    def send_raw(self, packet: Packet) -> None:
        """Send a packet whose IP header is complete, as a raw socket does (raw(7), IP_HDRINCL; raw_send_hdrinc).

        The source may be any address. Raises `OSError`: EMSGSIZE if the packet is larger than the MTU, EPERM if a
        filter drops it in OUTPUT, or the errors of `route_output`, e.g. ENETUNREACH if there is no route.
        """
        namespace = self._namespace
        is_own = namespace.has_address(packet.src) or is_loopback(packet.src)
        decision = self.route_output(packet.dst, packet.src if is_own else None)
        if len(packet.data) > decision.outdev.mtu:
            namespace.drop(
                packet, DropReason.MTU_EXCEEDED,
                f"{len(packet.data)} bytes, MTU of {decision.outdev.name} is {decision.outdev.mtu}",
                device=decision.outdev.name, detail=MtuLimit(decision.outdev.mtu),
            )  # fmt: skip
            raise OSError(errno.EMSGSIZE, "Message too long")
        packet.outdev = decision.outdev
        packet.nexthop = decision.gateway or packet.dst
        if namespace.netfilter.is_active:
            whole = self.defragment(packet)
            if whole is None:
                return
            whole.outdev, whole.nexthop = packet.outdev, packet.nexthop
            packet = whole
        self._output_local(packet, decision)

    def _output_local(self, packet: Packet, decision: RoutingDecision) -> None:
        """Pass a packet of this namespace, routed by `decision`, through OUTPUT, IPsec and POSTROUTING, and send it.

        Raises `OSError(EPERM)` if a filter drops it in OUTPUT.
        """
        namespace = self._namespace
        if namespace.clock.context is not None:
            namespace.report(
                Step.ROUTED, f"sent by {decision.outdev.name}", packet,
                device=decision.outdev.name, decision=decision_text(decision.route, decision.rule),
            )  # fmt: skip
        netfilter = namespace.netfilter
        if netfilter.is_active and not netfilter.run(_OUTPUT, packet):
            if packet.is_ipvs:  # IPVS consumed the packet; the sender sees no error even if IPVS drops it later
                return
            raise OSError(errno.EPERM, "Operation not permitted")
        if namespace.xfrm is not None and namespace.xfrm.output(packet):
            return
        if netfilter.is_active and not netfilter.run(_POSTROUTING, packet):
            return
        self.finish_output(packet)

    def output(self, packet: Packet) -> None:
        """Send a routed packet through OUTPUT and POSTROUTING (dst_output after NF_INET_LOCAL_OUT)."""
        netfilter = self._namespace.netfilter
        if netfilter.run(_OUTPUT, packet) and netfilter.run(_POSTROUTING, packet):
            self.finish_output(packet)

    def reroute(self, packet: Packet) -> bool:
        """Route a packet again after OUTPUT changed its destination, keeping its source (ip_route_me_harder).

        Return False if the packet was dropped because there is no route.
        """
        namespace = self._namespace
        src = packet.src if namespace.has_address(packet.src) or is_loopback(packet.src) else None
        try:
            decision = self.route_output(packet.dst, src, mark=packet.mark)
        except OSError as error:
            namespace.drop(packet, DropReason.NO_ROUTE, f"after translation: {error.strerror}")
            return False
        packet.outdev = decision.outdev
        packet.nexthop = decision.gateway or packet.dst
        return True

    def finish_output(self, packet: Packet) -> None:
        """Send a packet that passed POSTROUTING to its next hop, in fragments if necessary (ip_finish_output)."""
        outdev = packet.outdev
        assert outdev is not None
        data = packet.data
        if len(data) <= (packet.frag_max_size or outdev._mtu) <= outdev._mtu:
            self._output_to_neighbour(packet)
            return
        must_not = bool(data[6] & 0x40) if packet.family == 4 else packet.indev is not None and packet.l4 == 40
        if must_not and (packet.frag_max_size or 65536) > outdev.mtu:
            self._too_big(packet, outdev.mtu, outdev)
            return
        for piece in self.fragments(packet, outdev):
            part = Packet(piece, packet.indev)
            part.outdev, part.nexthop, part.mark = outdev, packet.nexthop, packet.mark
            self._output_to_neighbour(part)

    def fragments(self, packet: Packet, outdev: Device) -> list[bytes]:
        """Fragment a packet to fit the MTU of `outdev`. Return the fragments as bytes.

        If the packet was itself reassembled, no new fragment is longer than the longest one received.
        """
        namespace = self._namespace
        identification = self._next_identification()
        pieces = fragment(packet, min(outdev.mtu, packet.frag_max_size or outdev.mtu), identification)
        if namespace.clock.context is not None:
            what = f"{len(packet.data)} bytes in {len(pieces)} fragments, MTU {outdev.mtu}"
            namespace.report(Step.FRAGMENTED, what, packet, device=outdev.name)
        return pieces

    def _next_identification(self) -> int:
        number = self._identification
        if number is None:
            namespace = self._namespace
            number = namespace.clock.stream(f"{namespace.name}/ip-id").randrange(65536)
        self._identification = number = (number + 1) & 0xFFFF
        return number

    def _output_to_neighbour(self, packet: Packet) -> None:
        outdev = packet.outdev
        assert outdev is not None
        dst = packet.dst
        if outdev.kind == "loopback":
            mac = MAC_ZERO
        elif is_multicast(dst):
            mac = multicast_mac(dst)
        elif packet.family == 4 and (dst == IPV4_BROADCAST or self._namespace.is_broadcast(dst)):
            mac = MAC_BROADCAST
        else:
            if packet.recording is not None:
                self._namespace.flows.keep(packet)
            self._namespace.neighbours.output(packet)
            return
        ethertype = b"\x08\x00" if packet.family == 4 else b"\x86\xdd"
        outdev.transmit(mac + outdev.mac + ethertype + packet.data)

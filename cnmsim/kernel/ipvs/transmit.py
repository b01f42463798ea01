"""Transmission of a client's packet to the real server: masquerading, direct routing, tunneling (ip_vs_xmit.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.address import format_ip, is_loopback
from cnmsim.kernel.events import DropReason, MtuLimit, Step
from cnmsim.kernel.ipvs.icmp import translate_error
from cnmsim.kernel.ipvs.service import Method
from cnmsim.kernel.netfilter.tuples import invert
from cnmsim.kernel.packet import ADDRESS_UNREACHABLE, HOP_LIMIT_EXCEEDED, TOO_BIG, build_ip
from cnmsim.kernel.skbuff import CtState, Packet

if TYPE_CHECKING:
    from cnmsim.kernel.ipvs.connection import IpvsConnection
    from cnmsim.kernel.namespace import NetworkNamespace

_IPIP = {4: 4, 6: 41}


class Transmitter:
    """Sends the requests of one namespace to their destinations.

    A method that returns a bool returns True if the packet continues on its normal path, False if it was sent or
    dropped.
    """

    __slots__ = ("_namespace",)

    def __init__(self, namespace: NetworkNamespace) -> None:
        self._namespace = namespace

    def send(self, packet: Packet, connection: IpvsConnection, *, is_error: bool = False) -> bool:
        """Send a client's packet to its connection's real server.

        `is_error` is true if the packet is an ICMP error about a reply. Return True if the packet continues on its
        normal path, because this host is the real server; False if it was sent or dropped.
        """
        if connection.method is Method.TUNNELING:
            return self._tunnel(packet, connection)
        is_here = self._namespace.is_local(connection.real)
        if not is_here and not self._route(packet, connection):
            return False
        self._translate(packet, connection, to_client=False, is_error=is_error)
        if is_error:
            self._mark(packet, connection)
        else:
            self._mark_request(packet, connection)
        if not is_here:
            self._namespace.ip.output(packet)
        return is_here

    def answer(self, packet: Packet, connection: IpvsConnection, *, is_error: bool = False) -> None:
        """Change the source of a packet to the client to the address and port of the virtual service.

        The packet is a reply or, with `is_error`, an ICMP error about a request.
        """
        self._translate(packet, connection, to_client=True, is_error=is_error)
        self._mark(packet, connection)

    def _translate(self, packet: Packet, connection: IpvsConnection, *, to_client: bool, is_error: bool) -> None:
        """Replace the addresses and ports of a packet, if its connection is masqueraded.

        `to_client` is the direction of the packet; `is_error` is true for an ICMP error.
        """
        if connection.method is not Method.MASQUERADING:
            return
        before = packet.summary() if self._namespace.clock.context is not None else ""
        if is_error:
            address, port = connection.virtual, connection.virtual_port
            if not to_client:
                address, port = connection.real, connection.real_port
            translate_error(packet, address, port, to_client=to_client)
        elif to_client:
            packet.translate(src=connection.virtual, sport=connection.virtual_port)
        else:
            packet.translate(dst=connection.real, dport=connection.real_port)
        if before:
            which = "source" if to_client else "destination"
            self._namespace.report(
                Step.TRANSLATED, f"{which} translated by IPVS, {connection.destination.service}", packet,
                decision=f"{before} → {packet.summary()}",
            )  # fmt: skip

    # --- routes

    def _route(self, packet: Packet, connection: IpvsConnection, overhead: int = 0) -> bool:
        """Look up the route to the connection's real server and set it on the packet (__ip_vs_get_out_rt).

        The TTL is decremented, and the packet must fit the MTU, less `overhead` bytes for the header of a tunnel.
        Return False if the packet was dropped, True otherwise.
        """
        namespace = self._namespace
        route = namespace.find_route(connection.real, mark=packet.mark)
        outdev = None if route is None or route.kind != "unicast" else route.device
        if route is None or outdev is None:
            namespace.drop(packet, DropReason.NO_ROUTE, f"no route to {format_ip(connection.real)}, chosen by IPVS")
            namespace.send_icmp_error(packet, *ADDRESS_UNREACHABLE[packet.family])
            return False
        if is_loopback(packet.src):
            namespace.drop(packet, DropReason.MARTIAN, "IPVS sends no loopback source to another host")
            return False
        if packet.ttl <= 1:
            namespace.drop(packet, DropReason.TTL_EXCEEDED)
            namespace.send_icmp_error(packet, *HOP_LIMIT_EXCEEDED[packet.family])
            return False
        mtu = min(outdev.mtu, route.mtu or 65535) - overhead
        if len(packet.data) > mtu and packet.dont_fragment:
            what = f"{len(packet.data)} bytes, MTU to {format_ip(connection.real)} is {mtu}"
            namespace.drop(packet, DropReason.FRAGMENTATION_NEEDED, what, device=outdev.name, detail=MtuLimit(mtu))
            namespace.send_icmp_error(packet, *TOO_BIG[packet.family], mtu)
            return False
        packet.set_ttl(packet.ttl - 1)
        packet.outdev = outdev
        packet.nexthop = route.gateway or connection.real
        if namespace.clock.context is not None:
            namespace.report(
                Step.ROUTED, f"IPVS sends it by {outdev.name}", packet, device=outdev.name, decision=str(route)
            )
        return True

    def _tunnel(self, packet: Packet, connection: IpvsConnection) -> bool:
        """Encapsulate a packet in another IP packet and send that to the real server (RFC 2003, RFC 2473).

        Return True if this host is the real server: the packet then continues on its normal path without
        encapsulation.
        """
        namespace = self._namespace
        if namespace.is_local(connection.real):
            self._mark_request(packet, connection)
            return True
        size = 20 if len(connection.real) == 4 else 40
        if not self._route(packet, connection, size):
            return False
        outdev = packet.outdev
        assert outdev is not None
        assert packet.nexthop is not None
        src = namespace.select_source(packet.nexthop, outdev, connection.real)
        if src is None:
            namespace.drop(packet, DropReason.NO_ROUTE, "no source address for the tunnel")
            return False
        protocol = _IPIP[packet.family]
        data = build_ip(
            protocol, src, connection.real, packet.data, ttl=packet.ttl, dont_fragment=packet.dont_fragment
        )
        outer = Packet.outgoing(data, protocol, src, connection.real, packet.ttl)
        outer.outdev, outer.nexthop, outer.mark = outdev, packet.nexthop, packet.mark
        outer.is_ipvs = True
        namespace.ip.output(outer)
        return False

    # --- conntrack

    def _mark_request(self, packet: Packet, connection: IpvsConnection) -> None:
        """Mark a client's packet as processed by IPVS, and update its conntrack entry (ip_vs_update_conntrack).

        Conntrack then expects the reply to come from the real server.
        """
        self._mark(packet, connection)
        tracked = packet.connection
        if (
            tracked is None
            or tracked.is_confirmed
            or tracked.is_dying
            or packet.ct_reply
            or connection.method is not Method.MASQUERADING
        ):
            return
        protocol, src, _, sport, _ = invert(tracked.reply)
        tracked.reply = invert((protocol, src, connection.real, sport, connection.real_port))

    @staticmethod
    def _mark(packet: Packet, connection: IpvsConnection) -> None:
        packet.is_ipvs = True
        if not connection.uses_conntrack:
            packet.connection = None
            packet.ct_state = CtState.UNTRACKED

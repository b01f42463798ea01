"""The netfilter hooks of IPVS (ip_vs_core.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.address import IPV4_BROADCAST, format_endpoint, format_ip, is_multicast
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.ipvs.connection import IpvsConnection
from cnmsim.kernel.ipvs.icmp import ERRORS
from cnmsim.kernel.ipvs.service import Method, Service
from cnmsim.kernel.ipvs.state import IpvsState
from cnmsim.kernel.ipvs.sysctls import PREFIX
from cnmsim.kernel.ipvs.transmit import Transmitter
from cnmsim.kernel.netfilter.tuples import invert, quoted_tuple
from cnmsim.kernel.packet import PORT_UNREACHABLE, TCP_RST, TCP_SYN
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.ipvs.ipvs import Ipvs
    from cnmsim.kernel.namespace import NetworkNamespace

_BALANCED = frozenset({6, 17})
_ICMP = frozenset({1, 58})
#: States after both ends have closed the connection.
_CLOSED_STATES = frozenset({IpvsState.TIME_WAIT, IpvsState.CLOSE})


class Hooks:
    """The functions that IPVS runs in the netfilter hooks of one namespace.

    Each returns True if the packet continues on its normal path.
    """

    __slots__ = ("_connections", "_ipvs", "_namespace", "_transmitter")

    def __init__(self, ipvs: Ipvs, namespace: NetworkNamespace) -> None:
        self._ipvs = ipvs
        self._namespace = namespace
        self._connections = ipvs.connections
        self._transmitter = Transmitter(namespace)

    def request(self, packet: Packet) -> bool:
        """Send a client's packet to a real server, in INPUT and OUTPUT (ip_vs_in_hook).

        Return False if IPVS sent or dropped the packet, True if it continues on its normal path.
        """
        if packet.is_ipvs or self._ipvs.sysctl("backup_only"):
            return True
        protocol = packet.protocol
        if protocol in _ICMP:
            return self.forward_error(packet)
        if protocol not in _BALANCED or packet.fragment_offset:
            return True
        key = (protocol, packet.src, packet.dst, packet.sport, packet.dport)
        connection = self._connections.of_request(key)
        if connection is not None and protocol == 6 and packet.tcp_flags & TCP_SYN:
            if not self._is_rescheduled(connection):
                self._report_reuse(connection, packet)
            elif self._end(connection, packet):
                return False
            else:
                connection = None
        if connection is not None and not connection.destination.is_available:
            if not self._ipvs.sysctl("expire_nodest_conn"):
                self._drop_orphan(packet, connection)
                return False
            if self._end(connection, packet):
                return False
            connection = None
        if connection is None:
            service = self._service_of(packet)
            if service is None:
                return True
            connection = self._schedule(packet, service)
            if connection is None:
                return False
        self._count(packet, connection, is_reply=False)
        return self._transmitter.send(packet, connection)

    def reply(self, packet: Packet) -> bool:
        """Translate the reply of a real server, in INPUT, FORWARD and OUTPUT (ip_vs_out_hook).

        Return True, because replies always continue on their normal path.
        """
        if packet.is_ipvs:
            return True
        protocol = packet.protocol
        if protocol in _ICMP:
            return self._reply_error(packet)
        if protocol not in _BALANCED or packet.fragment_offset:
            return True
        connection = self._connections.of_reply((protocol, packet.src, packet.dst, packet.sport, packet.dport))
        if connection is not None:
            self._count(packet, connection, is_reply=True)
            self._transmitter.answer(packet, connection)
        return True

    def forward_error(self, packet: Packet) -> bool:
        """Send a client's ICMP error about a reply to the real server, in INPUT, OUTPUT and FORWARD (ip_vs_in_icmp).

        Return False if IPVS sent or dropped the packet, True if it continues on its normal path.
        """
        if packet.is_ipvs or packet.icmp_type not in ERRORS[packet.family]:
            return True
        quoted = quoted_tuple(packet)
        connection = None if quoted is None else self._connections.of_request(invert(quoted))
        if connection is None:
            return True
        self._count(packet, connection, is_reply=False)
        return self._transmitter.send(packet, connection, is_error=True)

    def _reply_error(self, packet: Packet) -> bool:
        """Translate an ICMP error about a packet that was sent to a real server (ip_vs_out_icmp). Return True."""
        if packet.icmp_type not in ERRORS[packet.family]:
            return True
        quoted = quoted_tuple(packet)
        connection = None if quoted is None else self._connections.of_reply(invert(quoted))
        if connection is not None:
            self._count(packet, connection, is_reply=True)
            self._transmitter.answer(packet, connection, is_error=True)
        return True

    def connection_of(self, packet: Packet) -> IpvsConnection | None:
        """Return the connection of a request whose destination was already replaced by the real server.

        Return `None` if the packet is no such request. Used by the iptables match `ipvs` (xt_ipvs).
        """
        return self._connections.of_reply((packet.protocol, packet.dst, packet.src, packet.dport, packet.sport))

    # --- connections

    def _service_of(self, packet: Packet) -> Service | None:
        """Return the service that may balance a new flow with this packet, or `None` if there is none.

        A service by mark takes precedence over one by address and port (ip_vs_service_find).
        """
        dst = packet.dst
        flags = packet.tcp_flags
        if packet.protocol == 6 and (flags & TCP_RST or not (flags & TCP_SYN or self._ipvs.sysctl("sloppy_tcp"))):
            return None
        if is_multicast(dst) or dst == IPV4_BROADCAST or self._namespace.is_broadcast(dst):
            return None
        find = self._ipvs.find
        marked = find((packet.family, packet.mark, 0, b"", 0)) if packet.mark else None
        return marked or find((packet.family, 0, packet.protocol, dst, packet.dport))

    def _schedule(self, packet: Packet, service: Service) -> IpvsConnection | None:
        """Create a connection to a destination that the scheduler chooses (ip_vs_schedule).

        If there is no destination, reject the packet and return `None` (ip_vs_leave).
        """
        destination = service.scheduler.choose(service.destinations)
        if destination is None:
            self._refuse(packet, service)
            return None
        is_tcp = packet.protocol == 6
        connection = IpvsConnection(
            packet.protocol, packet.src, packet.sport, packet.dst, packet.dport,
            destination.address, destination.port or packet.dport, destination, destination.method,
            uses_conntrack=bool(self._ipvs.sysctl("conntrack")),
            state=IpvsState.NONE if is_tcp else IpvsState.UDP,
            sees_replies=destination.method is Method.MASQUERADING,
            expires_ns=self._namespace.clock.now_ns + NS_PER_S,
        )  # fmt: skip
        self._connections.add(connection)
        service.counters.connections += 1
        destination.counters.connections += 1
        if self._namespace.clock.context is not None:
            self._namespace.report(
                Step.NOTE, f"IPVS chooses {format_endpoint(connection.real, connection.real_port)}", packet,
                decision=f"{service} -> {destination}",
            )  # fmt: skip
        return connection

    def _refuse(self, packet: Packet, service: Service) -> None:
        namespace = self._namespace
        count = len(service.destinations)
        why = (
            (f"all {count} have weight 0" if count > 1 else "the only one has weight 0") if count else "there is none"
        )
        namespace.drop(
            packet, DropReason.NO_DESTINATION, f"IPVS has no destination to choose: {why}", decision=str(service)
        )
        namespace.send_icmp_error(packet, *PORT_UNREACHABLE[packet.family])

    def _is_rescheduled(self, connection: IpvsConnection) -> bool:
        """Return True if a SYN of a known connection must be scheduled as a new connection (is_new_conn_expected)."""
        if self._ipvs.sysctl("expire_nodest_conn") and not connection.destination.weight:
            return True
        mode = self._ipvs.sysctl("conn_reuse_mode")
        return bool(mode) and (
            connection.state in _CLOSED_STATES
            or (mode & 2 != 0 and connection.state is IpvsState.FIN_WAIT and not connection.sees_replies)
        )

    def _report_reuse(self, connection: IpvsConnection, packet: Packet) -> None:
        """Report that a new connection from the same client port goes to the previous connection's destination."""
        if self._namespace.clock.context is not None and connection.state in _CLOSED_STATES:
            endpoint = format_endpoint(connection.real, connection.real_port)
            self._namespace.report(
                Step.NOTE, f"IPVS reuses {endpoint}, the destination of the previous connection from this port",
                packet, decision=f"{PREFIX}conn_reuse_mode = 0",
            )  # fmt: skip

    def _end(self, connection: IpvsConnection, packet: Packet) -> bool:
        """End a connection, so that the client's next packet starts a new one.

        Return True if `packet`, which is being processed, was dropped: conntrack would still translate it for the
        ended connection. Return False if it may start the new connection itself.
        """
        tracked = packet.connection
        is_bound = connection.uses_conntrack and tracked is not None and tracked.is_confirmed
        connection.uses_conntrack = is_bound
        self._connections.expire(connection)
        if is_bound:
            self._namespace.drop(
                packet, DropReason.NO_DESTINATION, "its IPVS connection ended with this packet",
                decision=str(connection.destination.service),
            )  # fmt: skip
        return is_bound

    def _drop_orphan(self, packet: Packet, connection: IpvsConnection) -> None:
        self._namespace.drop(
            packet, DropReason.NO_DESTINATION, f"destination {format_ip(connection.real)} was removed from IPVS",
            decision=f"{PREFIX}expire_nodest_conn = 0",
        )  # fmt: skip

    def _count(self, packet: Packet, connection: IpvsConnection, *, is_reply: bool) -> None:
        """Count a packet and restart the timeout of its connection.

        `is_reply` is true for a packet of the real server.
        """
        destination = connection.destination
        size = len(packet.data)
        for counters in (destination.counters, destination.service.counters):
            if is_reply:
                counters.out_packets += 1
                counters.out_bytes += size
            else:
                counters.in_packets += 1
                counters.in_bytes += size
        if packet.protocol == connection.protocol:
            connection.follow(packet, is_reply=is_reply)
        connection.expires_ns = self._namespace.clock.now_ns + self._ipvs.lifetime_s(connection.state) * NS_PER_S

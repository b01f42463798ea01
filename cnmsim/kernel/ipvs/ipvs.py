"""IPVS of one namespace: its services, and what it does to packets at netfilter's hooks (ip_vs_core.c, ip_vs_ctl.c)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from cnmsim.kernel.address import IPV4_BROADCAST, Address, family_of, format_ip, is_multicast, parse_ip
from cnmsim.kernel.clock import NS
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.icmp import UNREACHABLE, UNREACHABLE6
from cnmsim.kernel.ipvs.connection import ConnectionTable, IpvsConnection
from cnmsim.kernel.ipvs.icmp import ERRORS
from cnmsim.kernel.ipvs.scheduler import SCHEDULERS
from cnmsim.kernel.ipvs.service import PROTOCOLS, Destination, Method, Service, endpoint_text
from cnmsim.kernel.ipvs.state import TIMEOUTS_S, IpvsState
from cnmsim.kernel.ipvs.sysctls import DEFAULTS, PREFIX
from cnmsim.kernel.ipvs.transmit import Transmitter
from cnmsim.kernel.netfilter.tuples import invert, quoted_tuple
from cnmsim.kernel.packet import TCP_RST, TCP_SYN, Packet

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace

_BALANCED = frozenset({6, 17})
_ICMP = frozenset({1, 58})


class Ipvs:
    """The load balancer of one namespace.

    `services` are in the order they were added. `generation` moves whenever a service or a destination changes. Nothing
    is hooked into the packet path before the first service and after the last connection of the last.
    """

    __slots__ = (
        "_namespace", "_switches", "_switches_at", "_timeouts", "_transmitter", "_trash", "connections", "generation",
        "services",
    )  # fmt: skip

    def __init__(self, namespace: NetworkNamespace) -> None:
        self._namespace = namespace
        self._transmitter = Transmitter(namespace)
        self._timeouts = dict(TIMEOUTS_S)
        self._trash: list[Destination] = []
        self._switches: dict[str, int] = {}
        self._switches_at = -1
        self.services: list[Service] = []
        self.connections = ConnectionTable(namespace.clock, self._expired)
        self.generation = 0
        namespace.sysctl.declare(DEFAULTS)

    # --- services and destinations -------------------------------------------------------------------------------

    def add_service(
        self,
        *,
        fwmark: int = 0,
        protocol: str = "",
        address: str = "",
        port: int = 0,
        scheduler: str = "wlc",
        family: int = 4,
    ) -> Service:
        """Add a virtual service: by `fwmark` (and `family`, 4 or 6), or by `protocol` (tcp, udp), `address` and `port`.

        Raises `OSError`: EEXIST if there is one, ENOENT for an unknown scheduler, EINVAL for port 0, EAFNOSUPPORT for
        an address that is none, EPROTONOSUPPORT for another protocol.
        """
        kind = SCHEDULERS.get(scheduler)
        if kind is None:
            raise OSError(errno.ENOENT, "No such file or directory", scheduler)
        if fwmark:
            created = Service(family, kind(), fwmark=fwmark)
        else:
            if protocol not in PROTOCOLS:
                raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported", protocol)
            if not port:
                raise OSError(errno.EINVAL, "Invalid argument")
            raw = _address(address)
            created = Service(family_of(raw), kind(), protocol=PROTOCOLS[protocol], address=raw, port=port)
        if any(service.key == created.key for service in self.services):
            raise OSError(errno.EEXIST, "File exists")
        self.services.append(created)
        self._changed()
        return created

    def edit_service(self, service: Service, *, scheduler: str) -> None:
        """Give a service another scheduler. Raises `OSError`: ESRCH without the service, ENOENT for the scheduler."""
        self._known(service)
        kind = SCHEDULERS.get(scheduler)
        if kind is None:
            raise OSError(errno.ENOENT, "No such file or directory", scheduler)
        if not isinstance(service.scheduler, kind):
            service.scheduler = kind()
            service.scheduler.changed(service.destinations)
        self._changed()

    def remove_service(self, service: Service) -> None:
        """Remove a service and its destinations. Raises `OSError(ESRCH)` if it is not here."""
        self._known(service)
        self.services.remove(service)
        for destination in service.destinations:
            self._unlink(destination)
        service.destinations.clear()
        self._forget_flows()
        self._changed()

    def clear(self) -> None:
        """Remove every service, as `ipvsadm -C`."""
        for service in list(self.services):
            self.remove_service(service)

    def find_service(
        self, *, fwmark: int = 0, protocol: str = "", address: str = "", port: int = 0, family: int = 4
    ) -> Service:
        """Give the service that was added with these. Raises `OSError(ESRCH)` if there is none."""
        if fwmark:
            key = (family, fwmark, 0, b"", 0)
        else:
            raw = _address(address)
            key = (family_of(raw), 0, PROTOCOLS.get(protocol, 0), raw, port)
        for service in self.services:
            if service.key == key:
                return service
        raise OSError(errno.ESRCH, "No such process")

    def add_destination(
        self, service: Service, address: str, *, port: int = 0, weight: int = 1, method: str = "masq"
    ) -> Destination:
        """Add a real server; `method` is masq, dr or tunnel.

        A port other than the service's counts with masquerading only; 0 keeps the one a client asked for. Raises
        `OSError`: ESRCH without the service, EEXIST if it is there, EINVAL for another family, ERANGE for a weight below
        zero.
        """
        self._known(service)
        raw, forward = _address(address), Method(method)
        if family_of(raw) != service.family and forward is not Method.TUNNELING:
            raise OSError(errno.EINVAL, "Invalid argument")
        if weight < 0:
            raise OSError(errno.ERANGE, "Numerical result out of range")
        if service.port and (forward is not Method.MASQUERADING or not port):
            port = service.port
        if service.find(raw, port) is not None:
            raise OSError(errno.EEXIST, "File exists")
        destination = self._from_trash(service, raw, port)
        if destination is None:
            destination = Destination(raw, port, weight, forward, service)
        else:
            destination.weight, destination.method, destination.service = weight, forward, service
            destination.is_available = True
            destination.counters.zero()
        service.destinations.insert(0, destination)
        service.scheduler.changed(service.destinations)
        self._changed()
        return destination

    def update_destination(
        self, service: Service, address: str, *, port: int = 0, weight: int = 1, method: str = "masq"
    ) -> None:
        """Give a real server another weight or method; connections keep the method they began with.

        Raises `OSError`: ESRCH without the service, ENOENT without the destination, ERANGE for a weight below zero.
        """
        destination = self._find(service, address, port)
        if weight < 0:
            raise OSError(errno.ERANGE, "Numerical result out of range")
        destination.weight, destination.method = weight, Method(method)
        service.scheduler.changed(service.destinations)
        self._changed()

    def remove_destination(self, service: Service, address: str, *, port: int = 0) -> None:
        """Remove a real server.

        Its connections end at once with `expire_nodest_conn`, else their packets are dropped until they time out.
        Raises `OSError`: ESRCH without the service, ENOENT without the destination.
        """
        destination = self._find(service, address, port)
        at = service.destinations.index(destination)
        del service.destinations[at]
        service.scheduler.removed(service.destinations, destination, at)
        self._unlink(destination)
        self._forget_flows()
        self._changed()

    def set_timeouts(self, tcp_s: int, tcp_fin_s: int, udp_s: int) -> None:
        """Set the timeouts, in seconds, of established TCP, of TCP after a FIN and of UDP; 0 leaves one as it is."""
        for state, seconds in (
            (IpvsState.ESTABLISHED, tcp_s), (IpvsState.FIN_WAIT, tcp_fin_s), (IpvsState.UDP, udp_s),
        ):  # fmt: skip
            if seconds:
                self._timeouts[state] = seconds

    @property
    def timeouts(self) -> tuple[int, int, int]:
        """The three timeouts of `set_timeouts`, in seconds."""
        known = self._timeouts
        return known[IpvsState.ESTABLISHED], known[IpvsState.FIN_WAIT], known[IpvsState.UDP]

    def remaining_s(self, connection: IpvsConnection) -> int:
        """Give the whole seconds until a connection expires."""
        return max(0, (connection.expires_ns - self._namespace.clock.now_ns) // NS)

    @property
    def is_idle(self) -> bool:
        """Whether there is neither a service nor a connection."""
        return not self.services and not len(self.connections)

    def _known(self, service: Service) -> None:
        if service not in self.services:
            raise OSError(errno.ESRCH, "No such process")

    def _find(self, service: Service, address: str, port: int) -> Destination:
        self._known(service)
        destination = service.find(_address(address), port or service.port)
        if destination is None:
            raise OSError(errno.ENOENT, "No such file or directory")
        return destination

    def _unlink(self, destination: Destination) -> None:
        destination.is_available = False
        if destination.active or destination.inactive:
            self._trash.append(destination)

    def _from_trash(self, service: Service, address: Address, port: int) -> Destination | None:
        """Take back a destination that was removed while it still had connections: they go on with it."""
        self.connections.purge()
        self._trash = [gone for gone in self._trash if gone.active or gone.inactive]
        for gone in self._trash:
            if gone.service.key == service.key and gone.address == address and gone.port == port:
                self._trash.remove(gone)
                return gone
        return None

    def _forget_flows(self) -> None:
        if self._switch("expire_nodest_conn"):
            for connection in self.connections.entries():
                if not connection.destination.is_available:
                    self.connections.expire(connection)

    def _changed(self) -> None:
        self.generation += 1
        netfilter = self._namespace.netfilter
        netfilter.ipvs = None if self.is_idle else self
        netfilter.rules_changed()

    def _expired(self, connection: IpvsConnection) -> None:
        """Let conntrack forget what IPVS forgot (ip_vs_conn_drop_conntrack)."""
        if connection.uses_conntrack:
            conntrack = self._namespace.netfilter.conntrack
            tracked = conntrack.find(connection.request_key)
            if tracked is not None:
                conntrack.destroy(tracked)

    def _switch(self, name: str) -> int:
        generation = self._namespace.generation
        if generation != self._switches_at:
            self._switches.clear()
            self._switches_at = generation
        value = self._switches.get(name)
        if value is None:
            value = self._switches[name] = int(self._namespace.sysctl_get(PREFIX + name))
        return value

    # --- the hooks -----------------------------------------------------------------------------------------------

    def request(self, packet: Packet) -> bool:
        """Take what a client sends, at INPUT and OUTPUT (ip_vs_in_hook). `False`: it went another way, or ended."""
        if packet.is_ipvs or self._switch("backup_only"):
            return True
        protocol = packet.protocol
        if protocol in _ICMP:
            return self.forward_error(packet)
        if protocol not in _BALANCED or packet.fragment_offset:
            return True
        key = (protocol, packet.src, packet.dst, packet.sport, packet.dport)
        connection = self.connections.of_request(key)
        if connection is not None and protocol == 6 and packet.tcp_flags & TCP_SYN and self._begins_anew(connection):
            if self._end(connection, packet):
                return False
            connection = None
        if connection is not None and not connection.destination.is_available:
            if not self._switch("expire_nodest_conn"):
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
        """Take what a destination answers, at INPUT, FORWARD and OUTPUT (ip_vs_out_hook)."""
        if packet.is_ipvs:
            return True
        protocol = packet.protocol
        if protocol in _ICMP:
            return self._reply_error(packet)
        if protocol not in _BALANCED or packet.fragment_offset:
            return True
        connection = self.connections.of_reply((protocol, packet.src, packet.dst, packet.sport, packet.dport))
        if connection is not None:
            self._count(packet, connection, is_reply=True)
            self._transmitter.answer(packet, connection)
        return True

    def forward_error(self, packet: Packet) -> bool:
        """Take a client's ICMP error, at INPUT, OUTPUT and FORWARD (ip_vs_in_icmp)."""
        if packet.is_ipvs or packet.icmp_type not in ERRORS[packet.family]:
            return True
        quoted = quoted_tuple(packet)
        connection = None if quoted is None else self.connections.of_request(invert(quoted))
        if connection is None:
            return True
        self._count(packet, connection, is_reply=False)
        return self._transmitter.send_error(packet, connection)

    def _reply_error(self, packet: Packet) -> bool:
        """Take an ICMP error about a packet to a destination (ip_vs_out_icmp)."""
        if packet.icmp_type not in ERRORS[packet.family]:
            return True
        quoted = quoted_tuple(packet)
        connection = None if quoted is None else self.connections.of_reply(invert(quoted))
        if connection is not None:
            self._count(packet, connection, is_reply=True)
            self._transmitter.answer_error(packet, connection)
        return True

    def connection_of(self, packet: Packet) -> IpvsConnection | None:
        """Give the connection of a balanced request on its way to the destination, as xt_ipvs looks it up."""
        return self.connections.of_reply((packet.protocol, packet.dst, packet.src, packet.dport, packet.sport))

    # --- connections ---------------------------------------------------------------------------------------------

    def _service_of(self, packet: Packet) -> Service | None:
        """Find the service a new flow is for: by mark first, then by address (ip_vs_service_find)."""
        dst = packet.dst
        flags = packet.tcp_flags
        if packet.protocol == 6 and (flags & TCP_RST or not (flags & TCP_SYN or self._switch("sloppy_tcp"))):
            return None
        if is_multicast(dst) or dst == IPV4_BROADCAST or self._namespace.is_broadcast(dst):
            return None
        found = None
        for service in self.services:
            if service.family != packet.family:
                continue
            if service.fwmark:
                if service.fwmark == packet.mark:
                    return service
            elif (service.protocol, service.address, service.port) == (packet.protocol, dst, packet.dport):
                found = service
        return found

    def _schedule(self, packet: Packet, service: Service) -> IpvsConnection | None:
        """Choose a destination for a new flow; without one its sender is told (ip_vs_schedule, ip_vs_leave)."""
        destination = service.scheduler.choose(service.destinations)
        if destination is None:
            self._refuse(packet, service)
            return None
        is_tcp = packet.protocol == 6
        connection = IpvsConnection(
            packet.protocol, packet.src, packet.sport, packet.dst, packet.dport,
            destination.address, destination.port or packet.dport, destination, destination.method,
            uses_conntrack=bool(self._switch("conntrack")),
            state=IpvsState.NONE if is_tcp else IpvsState.UDP,
            sees_replies=destination.method is Method.MASQUERADING,
            expires_ns=self._namespace.clock.now_ns + NS,
        )  # fmt: skip
        self.connections.add(connection)
        service.counters.connections += 1
        destination.counters.connections += 1
        if self._namespace.clock.context is not None:
            self._namespace.report(
                Step.NOTE, f"IPVS chooses {endpoint_text(connection.real, connection.real_port)}", packet,
                decision=f"{service} -> {destination}",
            )  # fmt: skip
        return connection

    def _refuse(self, packet: Packet, service: Service) -> None:
        namespace = self._namespace
        count = len(service.destinations)
        why = f"all {count} have weight 0" if count else "there is none"
        namespace.drop(
            packet, DropReason.NO_DESTINATION, f"IPVS has no destination to choose: {why}", decision=str(service)
        )
        namespace.icmp_error(packet, *((UNREACHABLE, 3) if packet.family == 4 else (UNREACHABLE6, 4)))

    def _begins_anew(self, connection: IpvsConnection) -> bool:
        """Tell whether a SYN on a known flow is to be scheduled again (is_new_conn_expected)."""
        if self._switch("expire_nodest_conn") and not connection.destination.weight:
            return True
        mode = self._switch("conn_reuse_mode")
        return bool(mode) and (
            connection.state in (IpvsState.TIME_WAIT, IpvsState.CLOSE)
            or (mode & 2 != 0 and connection.state is IpvsState.FIN_WAIT and not connection.sees_replies)
        )

    def _end(self, connection: IpvsConnection, packet: Packet) -> bool:
        """End a connection so that its packet begins another. `True`: conntrack holds the old way, so it is dropped."""
        tracked = packet.connection
        is_bound = connection.uses_conntrack and tracked is not None and tracked.is_confirmed
        connection.uses_conntrack = is_bound
        self.connections.expire(connection)
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
        """Count a packet, and let its connection live on from now."""
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
        connection.expires_ns = self._namespace.clock.now_ns + self._timeouts[connection.state] * NS


def _address(text: str) -> Address:
    try:
        return parse_ip(text)
    except ValueError:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol", text) from None

"""/proc/net: a namespace's devices, addresses, routes, neighbours, sockets and IPVS tables as files.

Source: Linux `net/core/net-procfs.c`, `net/ipv4/{arp,fib_trie,tcp_ipv4,udp}.c`,
`net/ipv6/{addrconf,tcp_ipv6,datagram}.c`, `net/netfilter/ipvs/ip_vs_{ctl,conn}.c`. Socket inodes are always 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.address import Address, format_mac
from cnmsim.kernel.files import File, GeneratedFile
from cnmsim.kernel.ipvs.service import PROTOCOL_NAMES
from cnmsim.kernel.sockets.base import mapped

if TYPE_CHECKING:
    from cnmsim.kernel.device import InterfaceAddress
    from cnmsim.kernel.files import FileSystem
    from cnmsim.kernel.ipvs import Service
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.neighbour import Neighbour
    from cnmsim.kernel.route import Route
    from cnmsim.kernel.sockets import SocketInfo

ROOT = "/proc/net"
_STATES = {
    "ESTAB": 1, "SYN-SENT": 2, "SYN-RECV": 3, "FIN-WAIT-1": 4, "FIN-WAIT-2": 5, "TIME-WAIT": 6, "UNCONN": 7,
    "CLOSE-WAIT": 8, "LAST-ACK": 9, "LISTEN": 10, "CLOSING": 11,
}  # fmt: skip
_SCOPES = {"global": 0x00, "host": 0x10, "link": 0x20}
_COMPLETE, _PERMANENT = 0x2, 0x4  # ATF_COM, ATF_PERM
_PERMANENT_ADDRESS, _NO_DAD = 0x80, 0x02  # IFA_F_PERMANENT, IFA_F_NODAD
_UP, _GATEWAY, _HOST, _REJECT = 0x1, 0x2, 0x4, 0x200  # RTF_*
_UNRESOLVED_STATES = frozenset({"INCOMPLETE", "FAILED", "NONE"})


def _hex_words(address: Address) -> str:
    """Format an address as hexadecimal 32-bit words in the byte order of a little-endian machine."""
    return "".join(f"{int.from_bytes(address[at : at + 4], 'little'):08X}" for at in range(0, len(address), 4))


def _arp(namespace: NetworkNamespace) -> Iterable[str]:
    yield "IP address       HW type     Flags       HW address            Mask     Device"
    for entry in namespace.neighbours.entries():
        if len(entry.address) == 4 and entry.state.value != "NOARP":
            yield _neighbour(entry)


def _neighbour(entry: Neighbour) -> str:
    is_known = entry.mac is not None and entry.state.value not in _UNRESOLVED_STATES
    flags = (_COMPLETE if is_known else 0) | (_PERMANENT if entry.state.value == "PERMANENT" else 0)
    mac = format_mac(entry.mac if entry.mac is not None and is_known else bytes(6))
    address = ".".join(map(str, entry.address))
    return f"{address:<16} {'0x1':<12}{f'0x{flags:x}':<12}{mac:<17}     *        {entry.device.name}"


def _dev(namespace: NetworkNamespace) -> Iterable[str]:
    yield "Inter-|   Receive                                                |  Transmit"
    yield (
        " face |bytes    packets errs drop fifo frame compressed multicast"
        "|bytes    packets errs drop fifo colls carrier compressed"
    )
    for device in namespace.devices.values():
        received = f"{device.rx_bytes:7} {device.rx_packets:7} {0:4} {device.rx_dropped:4} {0:4} {0:5} {0:10} {0:9}"
        sent = f"{device.tx_bytes:8} {device.tx_packets:7} {0:4} {device.tx_dropped:4} {0:4} {0:5} {0:7} {0:10}"
        yield f"{device.name:>6}: {received} {sent}"


def _route(namespace: NetworkNamespace) -> Iterable[str]:
    heads = ("Iface\tDestination\tGateway ", "Flags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT")
    yield "\t".join(heads).ljust(127)
    for route in namespace.routes4.routes:
        if route.kind not in ("broadcast", "multicast"):
            yield _route_line(route).ljust(127)


def _route_line(route: Route) -> str:
    flags = _UP | (_GATEWAY if route.gateway is not None else 0) | (_HOST if route.prefix.length == 32 else 0)
    flags |= _REJECT if route.kind in ("unreachable", "prohibit") else 0
    mask = ((0xFFFFFFFF << (32 - route.prefix.length)) & 0xFFFFFFFF).to_bytes(4, "big")
    fields = (
        route.device.name if route.device is not None else "*", _hex_words(route.prefix.network),
        _hex_words(route.gateway or bytes(4)), f"{flags:04X}", "0", "0", str(route.metric), _hex_words(mask),
        "0", "0", "0",
    )  # fmt: skip
    return "\t".join(fields)


def _if_inet6(namespace: NetworkNamespace) -> Iterable[str]:
    for device in namespace.devices.values():
        for item in device.addresses:
            if item.family == 6:
                flags = _address_flags(item)
                yield f"{item.address.hex()} {device.index:02x} {item.prefixlen:02x} {flags} {device.name:>8}"


def _address_flags(item: InterfaceAddress) -> str:
    flags = _PERMANENT_ADDRESS | (_NO_DAD if "nodad" in item.flags else 0)
    return f"{_SCOPES.get(item.scope, 0):02x} {flags:02x}"


_SOCKET_HEADS = {
    ("tcp", 4): "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
    ("udp", 4): (
        "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "
        "timeout inode ref pointer drops"
    ),
    ("tcp", 6): (
        "  sl  local_address                         remote_address                        "
        "st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
    ),
    ("udp", 6): (
        "  sl  local_address                         remote_address                        "
        "st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops"
    ),
}
_SOCKET_WIDTHS = {("tcp", 4): 149, ("udp", 4): 127, ("tcp", 6): 0, ("udp", 6): 0}


def _sockets(protocol: str, family: int) -> Callable[[NetworkNamespace], Iterable[str]]:
    def show(namespace: NetworkNamespace) -> Iterable[str]:
        width = _SOCKET_WIDTHS[protocol, family]
        yield _SOCKET_HEADS[protocol, family].ljust(width)
        sockets = [*namespace.sockets.listeners(), *namespace.sockets.connections()]
        shown = [info for info in sockets if info.protocol == protocol and info.family == family]
        for number, info in enumerate(shown):
            yield f"{number:{5 if width == 127 else 4}}: {_socket_line(info)}".ljust(width)

    return show


def _socket_line(info: SocketInfo) -> str:
    local, remote = _socket_address(info.local, info.family), _socket_address(info.remote, info.family)
    is_listening = info.state == "LISTEN"
    waiting, sending = info.recv_queue, 0 if is_listening else info.send_queue
    tail = "1 0000000000000000 100 0 0 10 0" if info.protocol == "tcp" else "2 0000000000000000 0"
    return (
        f"{local}:{info.local_port:04X} {remote}:{info.remote_port:04X} {_STATES.get(info.state, 7):02X} "
        f"{sending:08X}:{waiting:08X} 00:00000000 00000000 {0:5} {0:8} 0 {tail}"
    )


def _socket_address(address: Address | None, family: int) -> str:
    size = 16 if family == 6 else 4
    if address is None or not any(address):
        return _hex_words(bytes(size))
    return _hex_words(mapped(address) if size == 16 else address)


def _ip_vs(namespace: NetworkNamespace) -> Iterable[str]:
    yield "IP Virtual Server version 1.2.1 (size=4096)"
    yield "Prot LocalAddress:Port Scheduler Flags"
    yield "  -> RemoteAddress:Port Forward Weight ActiveConn InActConn"
    # The kernel has two hash tables and lists the services by address first.
    for service in sorted(namespace.ipvs.services, key=lambda entry: bool(entry.fwmark)):
        yield f"{_service_name(service)} {service.scheduler.name} "
        for real in service.destinations:
            name = f"  -> {_hex_address(real.address)}:{real.port:04X}     "
            yield f"{name} {real.method.title:<7} {real.weight:<6} {real.active:<10} {real.inactive:<10}"


def _service_name(service: Service) -> str:
    if service.fwmark:
        return f"FWM  {service.fwmark:08X}"
    return f"{PROTOCOL_NAMES[service.protocol]}  {_hex_address(service.address)}:{service.port:04X}"


def _hex_address(address: Address) -> str:
    """Format an address in hexadecimal as /proc/net/ip_vs does: `0A000001`, or IPv6 as `[fd00:0000:…:0001]`."""
    if len(address) == 4:
        return address.hex().upper()
    return "[" + ":".join(address[at : at + 2].hex() for at in range(0, 16, 2)) + "]"


def _ip_vs_conn(namespace: NetworkNamespace) -> Iterable[str]:
    yield "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData"
    ipvs = namespace.ipvs
    for connection in ipvs.connections.entries():
        ends = (
            (connection.client, connection.client_port),
            (connection.virtual, connection.virtual_port),
            (connection.real, connection.real_port),
        )
        endpoints = " ".join(f"{_hex_address(address).strip('[]')} {port:04X}" for address, port in ends)
        state, seconds = connection.state.name, ipvs.remaining_s(connection)
        yield f"{PROTOCOL_NAMES[connection.protocol]:<3} {endpoints} {state:<11} {seconds:7}"


_TABLES: dict[str, Callable[[NetworkNamespace], Iterable[str]]] = {
    "arp": _arp,
    "dev": _dev,
    "if_inet6": _if_inet6,
    "ip_vs": _ip_vs,
    "ip_vs_conn": _ip_vs_conn,
    "route": _route,
    **{
        f"{protocol}{'6' if family == 6 else ''}": _sockets(protocol, family)
        for protocol in ("tcp", "udp")
        for family in (4, 6)
    },
}


@frozen
class ProcNet:
    """The /proc/net tree of a namespace, as a function from paths to files (see `FileSystem.mount`)."""

    namespace: NetworkNamespace

    def __call__(self, path: str) -> File | None:
        """Return the file at `path`, relative to /proc/net, or `None` if there is none."""
        table = _TABLES.get(path)
        if table is None:
            return None
        return GeneratedFile(lambda: "".join(f"{line}\n" for line in table(self.namespace)))


def mount(files: FileSystem, namespace: NetworkNamespace) -> None:
    """Mount the tables of `namespace` at /proc/net."""
    files.mount(ROOT, ProcNet(namespace))

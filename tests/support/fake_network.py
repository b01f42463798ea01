"""A network of two or more namespaces reduced to what sockets ask of one, with a link that can lose packets."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from attrs import define, field, frozen

from cnmsim.kernel.address import format_ip, is_loopback, parse_ip
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.events import Event
from cnmsim.kernel.neighbour import NeighbourTable
from cnmsim.kernel.packet import build_ip
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.sockets import SocketTable
from cnmsim.kernel.transport import icmp_message

SYSCTLS = {
    "net.core.somaxconn": "4096",
    "net.ipv4.ip_local_port_range": "32768\t60999",
    "net.ipv4.tcp_sack": "1",
    "net.ipv4.tcp_timestamps": "1",
    "net.ipv4.tcp_window_scaling": "1",
    "net.ipv4.tcp_syn_retries": "6",
    "net.ipv4.tcp_synack_retries": "5",
    "net.ipv4.tcp_retries2": "15",
    "net.ipv4.tcp_fin_timeout": "60",
    "net.ipv4.tcp_keepalive_intvl": "75",
    "net.ipv4.tcp_keepalive_probes": "9",
    "net.ipv4.tcp_keepalive_time": "7200",
    "net.ipv6.bindv6only": "0",
}


@frozen
class FakeDevice:
    name: str
    mtu: int


@frozen
class FakeDecision:
    src: bytes
    mtu: int
    outdev: FakeDevice


@define(eq=False)
class Recorder:
    events: list[Event] = field(factory=list)

    def report(self, event: Event) -> None:
        self.events.append(event)


@define(eq=False)
class FakeNetwork:
    """Carries packets between its namespaces. `fate` tells the delays (s) at which copies of one arrive."""

    clock: Clock = field(factory=Clock)
    namespaces: list[FakeNamespace] = field(factory=list)
    fate: Callable[[Packet], list[float]] = lambda packet: [0.001]
    wire: list[Packet] = field(factory=list)

    def add(self, name: str, *addresses: str, mtu: int = 1500) -> FakeNamespace:
        namespace = FakeNamespace(name, self, [parse_ip(address) for address in addresses], mtu)
        self.namespaces.append(namespace)
        return namespace

    def carry(self, data: bytes, sender: FakeNamespace) -> None:
        packet = Packet(data)
        self.wire.append(packet)
        if sender.is_local(packet.dst):
            self.clock.call_soon(sender.input, data)
            return
        for receiver in self.namespaces:
            if receiver is not sender and receiver.is_local(packet.dst):
                for delay_s in self.fate(packet):
                    self.clock.call_later(delay_s, receiver.input, data)


class FakeNamespace:
    def __init__(self, name: str, network: FakeNetwork, addresses: list[bytes], mtu: int) -> None:
        self.name = name
        self.network = network
        self.clock = network.clock
        self.addresses = addresses
        self.devices = {"eth0": FakeDevice("eth0", mtu)}
        self.path_mtu = mtu
        self.sysctl = dict(SYSCTLS)
        self._asked = 0
        self.refuses: Callable[[bytes], bool] = lambda message: False
        self.sockets: Any = SocketTable(self)  # type: ignore[arg-type]
        self.neighbours = NeighbourTable(self)  # type: ignore[arg-type]

    @property
    def generation(self) -> int:
        """What moves with every change: here always, as tests write sysctls behind its back."""
        self._asked += 1
        return self._asked

    def sysctl_get(self, key: str) -> str:
        return self.sysctl[key]

    def is_local(self, address: bytes) -> bool:
        return address in self.addresses or is_loopback(address)

    def address_type(self, address: bytes) -> str:
        return "LOCAL" if self.is_local(address) else "UNICAST"

    def mtu_of(self, dst: bytes) -> int:
        return self.path_mtu

    def route_output(self, dst: bytes, src: bytes | None = None, outdev: Any = None, mark: int = 0) -> FakeDecision:
        own = [a for a in self.addresses if len(a) == len(dst)]
        if self.is_local(dst):
            own = [dst]
        if not own:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        return FakeDecision(src or own[0], self.path_mtu, self.devices["eth0"])

    def sent_flow(self, decision: FakeDecision, dst: bytes, sport: int, dport: int) -> None:
        return None

    def send(
        self, protocol: int, decision: FakeDecision, dst: bytes, message: bytes, *,
        ttl: int = 64, tos: int = 0, dont_fragment: bool = True, may_fragment: bool = True,
    ) -> None:  # fmt: skip
        if self.refuses(message):
            raise OSError(errno.EPERM, "Operation not permitted")
        if not may_fragment and len(message) + (40 if len(dst) == 16 else 20) > self.path_mtu:
            raise OSError(errno.EMSGSIZE, "Message too long")
        self.network.carry(build_ip(protocol, decision.src, dst, message, ttl=ttl, tos=tos), self)

    def input(self, data: bytes) -> None:
        packet = Packet(data)
        if packet.icmp_type == 3:
            self.sockets.deliver_icmp_error(quoted(packet))
        else:
            self.sockets.deliver(packet)

    def send_icmp_error(self, packet: Packet, icmp_type: int, code: int, info: int = 0) -> None:
        if packet.family == 4:
            message = icmp_message(icmp_type, code, info.to_bytes(4), packet.data[:548])
            self.network.carry(build_ip(1, packet.dst, packet.src, message), self)

    def report(self, step: Any, what: str, packet: Any, **named: Any) -> None:
        data = packet.data if isinstance(packet, Packet) else packet
        self.clock.context.report(Event(
            self.clock.now_ns, self.name, "", step, what, named.get("decision", ""), data,
            reason=named.get("reason"),
        ))  # fmt: skip


def quoted(packet: Packet) -> Any:
    from cnmsim.kernel.sockets import IcmpErrorInfo

    inner = Packet(packet.payload[8:]) if len(packet.payload) < 556 else None
    assert inner is not None
    return IcmpErrorInfo(
        family=4, protocol=inner.protocol, src=inner.src, dst=inner.dst, sport=inner.sport, dport=inner.dport,
        icmp_type=packet.icmp_type, code=packet.icmp_code, reporter=packet.src,
        info=int.from_bytes(packet.payload[6:8]), quoted=inner.payload,
    )  # fmt: skip


def text(address: tuple[bytes, int]) -> str:
    return f"{format_ip(address[0])} {address[1]}"

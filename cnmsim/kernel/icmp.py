"""ICMP (RFC 792, RFC 1122 §3.2.2) and ICMPv6 (RFC 4443) of one namespace: echo replies and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel import ndisc
from cnmsim.kernel.address import IPV4_BROADCAST, is_multicast
from cnmsim.kernel.checksum import checksum, transport_checksum
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.packet import TOO_BIG, icmp_name
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.sockets import IcmpErrorInfo
from cnmsim.kernel.transport import icmp_of_family

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace

_ERRORS = {4: (3, 4, 5, 11, 12), 6: (1, 2, 3, 4)}
_QUOTE = {4: 548, 6: 1232}


class Icmp:
    """The kernel's own handling of ICMP; messages that it does not handle are delivered to sockets."""

    __slots__ = ("_namespace",)

    def __init__(self, namespace: NetworkNamespace) -> None:
        self._namespace = namespace

    def send_error(self, packet: Packet, icmp_type: int, code: int, info: int = 0) -> None:
        """Answer a packet with an ICMP error, unless RFC 1122 §3.2.2 or RFC 4443 §2.4 forbids it.

        `info` is the second header word: the next hop's MTU for "fragmentation needed" and "packet too big".
        """
        if not self._may_answer(packet):
            return
        namespace = self._namespace
        to = packet.src
        preferred = packet.dst if namespace.has_address(packet.dst) else None
        try:
            decision = namespace.route_output(to, preferred)
        except OSError:
            return
        quoted = packet.data[: _QUOTE[packet.family]]
        protocol, message = icmp_of_family(decision.src, to, icmp_type, code, info.to_bytes(4), quoted)
        try:
            # The error belongs to the connection of the packet that caused it, and is translated with it
            # (nf_ct_attach).
            with namespace.netfilter.replying_to(packet):
                namespace.send(protocol, decision, to, message, dont_fragment=False)
        except OSError as error:
            namespace.drop(packet, DropReason.NETFILTER_DROP, f"the ICMP error was dropped: {error.strerror}")

    def _may_answer(self, packet: Packet) -> bool:
        if packet.fragment_offset or not any(packet.src) or is_multicast(packet.src):
            return False
        if packet.icmp_type in _ERRORS[packet.family] and packet.protocol in (1, 58):
            return False
        if packet.family == 6:
            return not is_multicast(packet.dst) or packet.icmp_type == TOO_BIG[6][0]
        namespace = self._namespace
        return not (is_multicast(packet.dst) or packet.dst == IPV4_BROADCAST or namespace.is_broadcast(packet.dst))

    def input(self, packet: Packet) -> None:
        """Process an ICMP or ICMPv6 message for this namespace."""
        namespace = self._namespace
        message = packet.payload
        if len(message) < 8:
            namespace.drop(packet, DropReason.MALFORMED, "truncated ICMP message")
            return
        total = checksum(message) if packet.family == 4 else transport_checksum(packet.src, packet.dst, 58, message)
        # The checksum over a message that includes its checksum is 0 (0xFFFF for all-zero data).
        if total not in (0, 0xFFFF):
            namespace.drop(packet, DropReason.CHECKSUM)
            return
        kind = message[0]
        if packet.family == 4:
            self._input_v4(packet, kind)
        else:
            self._input_v6(packet, kind)

    def _input_v4(self, packet: Packet, kind: int) -> None:
        if kind == 8:
            self._echo(packet, 0)
        elif kind in _ERRORS[4]:
            self._error(packet, packet.payload)
        else:
            self._namespace.sockets.deliver(packet)

    def _input_v6(self, packet: Packet, kind: int) -> None:
        device = packet.indev
        assert device is not None
        if kind == 128:
            self._echo(packet, 129)
        elif kind == 135:
            ndisc.receive_solicitation(self._namespace, packet, device)
        elif kind == 136:
            ndisc.receive_advertisement(self._namespace, packet, device)
        elif kind in _ERRORS[6]:
            self._error(packet, packet.payload)
        elif kind not in (133, 134, 137, 143):
            self._namespace.sockets.deliver(packet)

    def _echo(self, packet: Packet, reply: int) -> None:
        namespace = self._namespace
        if namespace.sysctl_get("net.ipv4.icmp_echo_ignore_all") == "1" and packet.family == 4:
            namespace.drop(packet, DropReason.NO_PROTOCOL, "net.ipv4.icmp_echo_ignore_all is 1")
            return
        grouped = is_multicast(packet.dst) or namespace.is_broadcast(packet.dst)
        if grouped and packet.family == 4:
            namespace.drop(packet, DropReason.NO_PROTOCOL, "net.ipv4.icmp_echo_ignore_broadcasts is 1")
            return
        if namespace.clock.context is not None:
            namespace.report(Step.DELIVERED, "the kernel answers the echo request", packet)
        try:
            decision = namespace.route_output(packet.src, None if grouped else packet.dst)
            message = packet.payload
            protocol, body = icmp_of_family(decision.src, packet.src, reply, 0, message[4:8], message[8:])
            namespace.send(protocol, decision, packet.src, body, dont_fragment=packet.family == 6)
        except OSError as error:
            namespace.drop(packet, DropReason.NO_ROUTE, f"no route back for the echo reply: {error.strerror}")

    def _error(self, packet: Packet, message: bytes) -> None:
        """Deliver the ICMP error `message` to the socket that sent the quoted packet (RFC 1122 §3.2.2).

        `packet` contains the message. If the error reports a path MTU, the MTU is cached first.
        """
        namespace = self._namespace
        if namespace.clock.context is not None:
            what = icmp_name(packet.family, message[0], message[1])
            namespace.report(Step.DELIVERED, f"{what} reaches its sender", packet)
        info = quoted_info(packet, message)
        if info is None:
            namespace.drop(packet, DropReason.MALFORMED, "the ICMP error quotes no packet")
            return
        too_big = (packet.family, message[0], message[1]) == (4, 3, 4) or (packet.family, message[0]) == (6, 2)
        if too_big:
            namespace.path_mtu.learn(info.dst, info.info)
        namespace.sockets.deliver_icmp_error(info)


def quoted_info(packet: Packet, message: bytes) -> IcmpErrorInfo | None:
    """Parse the packet that an ICMP error quotes.

    `packet` is the packet with the error, `message` the error itself. Return `None` if the quotation is too short to
    identify the quoted packet.
    """
    quoted = message[8:]
    word = int.from_bytes(message[4:8])
    if packet.family == 4:
        if len(quoted) < 28:
            return None
        size = (quoted[0] & 15) * 4
        protocol, src, dst = quoted[9], quoted[12:16], quoted[16:20]
        word &= 0xFFFF
    else:
        if len(quoted) < 48:
            return None
        size, protocol, src, dst = 40, quoted[6], quoted[8:24], quoted[24:40]
        if protocol == 44 and len(quoted) >= 56:
            size, protocol = 48, quoted[40]
    body = quoted[size:]
    ports = protocol in (6, 17, 132) and len(body) >= 4
    sport = int.from_bytes(body[:2]) if ports else 0
    dport = int.from_bytes(body[2:4]) if ports else 0
    return IcmpErrorInfo(
        family=packet.family, protocol=protocol, src=src, dst=dst, sport=sport, dport=dport,
        icmp_type=message[0], code=message[1], reporter=packet.src, info=word, quoted=body, packet=packet,
    )  # fmt: skip

"""One frame as one line of tcpdump: Ethernet, ARP, IPv4, IPv6, ICMP, ICMPv6, TCP, UDP, DNS, VXLAN, ESP."""

from __future__ import annotations

from attrs import define, field

from cnmsim.kernel.address import format_ip, format_mac
from cnmsim.kernel.packet import Packet, flag_text
from cnmsim.userland.packet_primitives import Seen
from cnmsim.userland.resolve import parse_answer

_ETHERTYPES = {0x0800: "IPv4 (0x0800)", 0x86DD: "IPv6 (0x86dd)", 0x0806: "ARP (0x0806)", 0x8100: "802.1Q (0x8100)"}
_PORT_NAMES = {
    22: "ssh",
    53: "domain",
    67: "bootps",
    68: "bootpc",
    80: "http",
    123: "ntp",
    443: "https",
    5432: "postgresql",
}
_PROTOCOL_NAMES = {1: "ICMP", 6: "TCP", 17: "UDP", 50: "ESP", 58: "ICMPv6", 132: "SCTP"}
_UNREACHABLE4 = {0: "net {} unreachable", 1: "host {} unreachable", 2: "{} protocol {} unreachable",
                 9: "net {} unreachable - admin prohibited", 10: "host {} unreachable - admin prohibited",
                 13: "host {} unreachable - admin prohibited filter"}  # fmt: skip
_VXLAN_PORTS = (4789,)
#: What `-T` may name.
UDP_KINDS = ("domain", "vxlan")


@define
class Printer:
    """Writes frames; it remembers the first sequence numbers of TCP connections, which later ones are shown against.

    `udp_kind` is what the payload of every UDP datagram is taken for (`-T`), "" to go by its ports.
    """

    is_numeric: bool = False
    has_link_header: bool = False
    verbosity: int = 0
    udp_kind: str = ""
    _first: dict[tuple[bytes, int, bytes, int], int] = field(factory=dict, init=False)

    def line(self, frame: bytes) -> str:
        """Write a frame, without the time."""
        seen = Seen.of(frame)
        body = self._network(seen)
        if not self.has_link_header:
            return body
        name = _ETHERTYPES.get(int.from_bytes(frame[12:14]), f"Unknown (0x{frame[12:14].hex()})")
        head = f"{format_mac(frame[6:12])} > {format_mac(frame[:6])}, ethertype {name}, length {len(frame)}: "
        if frame[12:14] == b"\x81\0":
            head += f"vlan {int.from_bytes(frame[14:16]) & 0xFFF}, p {frame[14] >> 5}, ethertype {_ETHERTYPES.get(seen.ethertype, '?')}, "
        for prefix in ("IP6 ", "IP ", "ARP, "):
            if body.startswith(prefix) and not body.startswith("IP ("):
                return head + body.removeprefix(prefix)
        return head + body.removeprefix("IP ")

    def _network(self, seen: Seen) -> str:
        if seen.ethertype == 0x0806:
            return self._arp(seen.payload)
        if seen.packet is None:
            return f"ethertype {_ETHERTYPES.get(seen.ethertype, f'Unknown (0x{seen.ethertype:04x})')}, length {len(seen.payload)}"
        return self.packet(seen.packet)

    def _arp(self, message: bytes) -> str:
        if len(message) < 28:
            return "ARP, [|arp]"
        sender, target = format_ip(message[14:18]), format_ip(message[24:28])
        if message[6:8] == b"\0\x01":
            asked = "" if message[18:24] == bytes(6) else f" ({format_mac(message[18:24])})"
            if sender == target:
                return f"ARP, Request who-has {target}{asked} tell {sender}, length {len(message)}"
            return f"ARP, Request who-has {target}{asked} tell {sender}, length {len(message)}"
        return f"ARP, Reply {sender} is-at {format_mac(message[8:14])}, length {len(message)}"

    def packet(self, packet: Packet) -> str:
        """Write an IP packet."""
        text = self._transport(packet)
        if not self.verbosity:
            return f"{'IP6' if packet.family == 6 else 'IP'} {text}"
        name = _PROTOCOL_NAMES.get(packet.protocol, "unknown")
        if packet.family == 6:
            return f"IP6 (hlim {packet.ttl}, next-header {name} ({packet.protocol}) payload length: {len(packet.data) - 40}) {text}"
        flags = "+" if packet.more_fragments else "DF" if packet.dont_fragment else "none"
        return (
            f"IP (tos 0x{packet.data[1]:x}, ttl {packet.ttl}, id {packet.identification}, offset {packet.fragment_offset}, "
            f"flags [{flags}], proto {name} ({packet.protocol}), length {len(packet.data)})\n    {text}"
        )

    def _transport(self, packet: Packet) -> str:
        src, dst = format_ip(packet.src), format_ip(packet.dst)
        if packet.fragment_offset:
            return f"{src} > {dst}: {_PROTOCOL_NAMES.get(packet.protocol, packet.protocol).__str__().lower()}"
        if packet.protocol in (6, 17):
            head = f"{src}.{self._port(packet.sport)} > {dst}.{self._port(packet.dport)}: "
            return head + (self._tcp(packet) if packet.protocol == 6 else self._udp(packet))
        if packet.protocol == 1:
            return f"{src} > {dst}: {self._icmp4(packet)}"
        if packet.protocol == 58:
            return f"{src} > {dst}: {self._icmp6(packet)}"
        if packet.protocol == 50:
            spi, sequence = packet.payload[:4].hex(), int.from_bytes(packet.payload[4:8])
            return f"{src} > {dst}: ESP(spi=0x{spi},seq=0x{sequence:x}), length {len(packet.payload)}"
        return f"{src} > {dst}: ip-proto-{packet.protocol} {len(packet.payload)}"

    def _port(self, number: int) -> str:
        return str(number) if self.is_numeric else _PORT_NAMES.get(number, str(number))

    def _tcp(self, packet: Packet) -> str:
        segment = packet.payload
        if len(segment) < 20:
            return "[|tcp]"
        sequence, acknowledged = int.from_bytes(segment[4:8]), int.from_bytes(segment[8:12])
        header = (segment[12] >> 4) * 4
        flags, window = segment[13], int.from_bytes(segment[14:16])
        length = len(segment) - header
        key = (packet.src, packet.sport, packet.dst, packet.dport)
        back = (packet.dst, packet.dport, packet.src, packet.sport)
        words = [f"Flags [{flag_text(flags)}]"]
        if flags & 2:
            self._first[key] = sequence
            words.append(f"seq {sequence}")
        else:
            relative = (sequence - self._first.setdefault(key, sequence)) & 0xFFFFFFFF
            if length:
                words.append(f"seq {relative}:{relative + length}")
            elif flags & 5:
                words.append(f"seq {relative}")
        if flags & 16:
            is_first = bool(flags & 2)
            start = self._first.get(back, acknowledged - 1 if not is_first else 0)
            words.append(f"ack {(acknowledged - start) & 0xFFFFFFFF if back in self._first else acknowledged}")
        words.append(f"win {window}")
        options = _tcp_options(segment[20:header])
        words += [f"options [{options}]"] if options else []
        words.append(f"length {length}")
        return ", ".join(words) + _http(segment[header:], (packet.sport, packet.dport))

    def _udp(self, packet: Packet) -> str:
        data = packet.payload[8:]
        is_vxlan = self.udp_kind == "vxlan" or (not self.udp_kind and packet.dport in _VXLAN_PORTS)
        if is_vxlan and len(data) >= 22:
            inner = Printer(self.is_numeric, udp_kind=self.udp_kind)
            inner._first = self._first
            return f"VXLAN, flags [I] (0x{data[0]:02x}), vni {int.from_bytes(data[4:7])}\n{inner.line(data[8:])}"
        if self.udp_kind == "domain" or (not self.udp_kind and 53 in (packet.sport, packet.dport)):
            text = _dns(data)
            if text:
                return text
        return f"UDP, length {len(data)}"

    def _icmp4(self, packet: Packet) -> str:
        message = packet.payload
        kind, code, length = packet.icmp_type, packet.icmp_code, len(message)
        if kind in (0, 8):
            identifier, sequence = int.from_bytes(message[4:6]), int.from_bytes(message[6:8])
            verb = "request" if kind == 8 else "reply"
            return f"ICMP echo {verb}, id {identifier}, seq {sequence}, length {length}"
        quoted = message[8:]
        target = format_ip(quoted[16:20]) if len(quoted) >= 20 else "?"
        if kind == 3 and code == 3 and len(quoted) >= 24:
            protocol = {6: "tcp", 17: "udp"}.get(quoted[9], str(quoted[9]))
            port = int.from_bytes(quoted[(quoted[0] & 15) * 4 + 2 :][:2])
            text = f"{target} {protocol} port {self._port(port)} unreachable"
        elif kind == 3 and code == 4:
            text = f"{target} unreachable - need to frag (mtu {int.from_bytes(message[6:8])})"
        elif kind == 3 and code == 2:
            text = f"{target} protocol {quoted[9]} unreachable"
        elif kind == 3:
            text = _UNREACHABLE4.get(code, "{} unreachable - #" + str(code)).format(target)
        elif kind == 11:
            text = "time exceeded in-transit" if not code else "ip reassembly time exceeded"
        else:
            text = f"type-#{kind}"
        return f"ICMP {text}, length {length}"

    def _icmp6(self, packet: Packet) -> str:
        message = packet.payload
        kind, code, length = packet.icmp_type, packet.icmp_code, len(message)
        if kind in (128, 129):
            identifier, sequence = int.from_bytes(message[4:6]), int.from_bytes(message[6:8])
            verb = "request" if kind == 128 else "reply"
            return f"ICMP6, echo {verb}, id {identifier}, seq {sequence}, length {length}"
        if kind == 135:
            return f"ICMP6, neighbor solicitation, who has {format_ip(message[8:24])}, length {length}"
        if kind == 136:
            return f"ICMP6, neighbor advertisement, tgt is {format_ip(message[8:24])}, length {length}"
        quoted = message[8:]
        target = format_ip(quoted[24:40]) if len(quoted) >= 40 else "?"
        if kind == 1:
            texts = {0: "unreachable route {}", 1: "unreachable prohibited {}", 3: "unreachable address {}"}
            text = texts.get(code, "unreachable {}").format(target)
            if code == 4 and len(quoted) >= 44:
                protocol = {6: "tcp", 17: "udp"}.get(quoted[6], str(quoted[6]))
                text = f"destination unreachable, unreachable port, {target} {protocol} port {int.from_bytes(quoted[42:44])}"
            else:
                text = f"destination unreachable, {text}"
        elif kind == 2:
            text = f"packet too big, mtu {int.from_bytes(message[4:8])}"
        elif kind == 3:
            text = f"time exceeded in-transit for {target}"
        else:
            text = {133: "router solicitation", 134: "router advertisement", 143: "multicast listener report v2"}.get(
                kind, f"type-#{kind}"
            )
        return f"ICMP6, {text}, length {length}"


def _tcp_options(data: bytes) -> str:
    words: list[str] = []
    at = 0
    while at < len(data):
        kind = data[at]
        if kind < 2:
            words.append("eol" if kind == 0 else "nop")
            at += 1
            if kind == 0:
                break
            continue
        size = data[at + 1] if at + 1 < len(data) else 0
        if size < 2:
            break
        value = data[at + 2 : at + size]
        if kind == 2:
            words.append(f"mss {int.from_bytes(value)}")
        elif kind == 3:
            words.append(f"wscale {int.from_bytes(value)}")
        elif kind == 4:
            words.append("sackOK")
        elif kind == 8:
            words.append(f"TS val {int.from_bytes(value[:4])} ecr {int.from_bytes(value[4:])}")
        else:
            words.append(f"unknown-{kind}")
        at += size
    return ",".join(words)


def _http(data: bytes, ports: tuple[int, int]) -> str:
    if not {80, 8080} & set(ports) or not data:
        return ""
    first = data.split(b"\r\n")[0]
    if first.startswith((b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"HTTP/")):
        return f": HTTP: {first.decode('latin-1')}"
    return ": HTTP"


def _dns(data: bytes) -> str:
    import dns.flags
    import dns.rcode
    import dns.rdatatype

    message = parse_answer(data)
    if message is None:
        return ""
    if not message.flags & dns.flags.QR:
        plus = "+" if message.flags & dns.flags.RD else ""
        asked = " ".join(f"{dns.rdatatype.to_text(entry.rdtype)}? {entry.name}" for entry in message.question)
        extra = " [1au]" if message.edns >= 0 else ""
        return f"{message.id}{plus}{extra} {asked} ({len(data)})"
    marks = "*" if message.flags & dns.flags.AA else ""
    marks += "" if message.flags & dns.flags.RA else "-"
    code = {0: "", 2: " ServFail", 3: " NXDomain", 5: " Refused"}.get(
        int(message.rcode()), f" {dns.rcode.to_text(message.rcode())}"
    )
    counts = [sum(len(rrset) for rrset in part) for part in (message.answer, message.authority, message.additional)]
    counts[2] += message.edns >= 0
    records = ", ".join(
        f"{dns.rdatatype.to_text(rrset.rdtype)} {record.to_text()}" for rrset in message.answer for record in rrset
    )
    return f"{message.id}{code}{marks} {'/'.join(map(str, counts))}{' ' + records if records else ''} ({len(data)})"

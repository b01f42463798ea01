"""Formats a frame as tcpdump's line: Ethernet, ARP, IPv4, IPv6, ICMP, ICMPv6, TCP, UDP, DNS, VXLAN, ESP."""

from __future__ import annotations

from attrs import define, field

from cnmsim.kernel.address import format_ip, format_mac
from cnmsim.kernel.checksum import checksum
from cnmsim.kernel.packet import flag_text
from cnmsim.kernel.skbuff import Packet
from cnmsim.userland.libc.resolver import parse_answer
from cnmsim.userland.tcpdump.pcap_file import COOKED, ETHERNET, hex_dump
from cnmsim.userland.tcpdump.primitives import CapturedFrame

_ETHERTYPES = {0x0800: "IPv4 (0x0800)", 0x86DD: "IPv6 (0x86dd)", 0x0806: "ARP (0x0806)", 0x8100: "802.1Q (0x8100)"}
_PORT_NAMES = {
    22: "ssh", 53: "domain", 67: "bootps", 68: "bootpc", 80: "http", 123: "ntp", 443: "https",
    5432: "postgresql",
}  # fmt: skip
_PROTOCOL_NAMES = {1: "ICMP", 6: "TCP", 17: "UDP", 50: "ESP", 58: "ICMPv6", 132: "SCTP"}
_UNREACHABLE4 = {0: "net {} unreachable", 1: "host {} unreachable", 2: "{} protocol {} unreachable",
                 9: "net {} unreachable - admin prohibited", 10: "host {} unreachable - admin prohibited",
                 13: "host {} unreachable - admin prohibited filter"}  # fmt: skip
_VXLAN_PORTS = (4789,)
#: The packet types that -T accepts.
UDP_KINDS = ("domain", "vxlan")


@define
class Printer:
    """Formats frames. It remembers the first sequence numbers of TCP connections, in order to print relative numbers.

    `udp_kind` is the protocol as which UDP payloads are parsed (`-T`), or "" to decide by the port. `is_quick` omits
    details (`-q`). `is_absolute` prints absolute sequence numbers (`-S`). `link` is the link type of the capture.
    """

    is_numeric: bool = False
    has_link_header: bool = False
    verbosity: int = 0
    udp_kind: str = ""
    is_quick: bool = False
    is_absolute: bool = False
    link: int = ETHERNET
    _first: dict[tuple[bytes, int, bytes, int], int] = field(factory=dict, init=False)

    def line(self, frame: bytes, index: int = 0) -> str:
        """Format a frame without its time.

        `index` is the index of the frame's device. `-e` prints it if the capture is on all devices.
        """
        captured = CapturedFrame.of(frame)
        body = self._network(captured)
        if not self.has_link_header:
            return body
        name = _ETHERTYPES.get(int.from_bytes(frame[12:14]), f"Unknown (0x{frame[12:14].hex()})")
        kind = f"{name.partition(' ')[0]}, " if self.is_quick else f"ethertype {name}, "
        head = f"{format_mac(frame[6:12])} > {format_mac(frame[:6])}, {kind}length {len(frame)}: "
        if self.link == COOKED:
            tail = "" if self.is_quick else f"{kind}length {len(frame) + 6}: "
            head = f"ifindex {index} {format_mac(frame[6:12])} {tail}"
        if frame[12:14] == b"\x81\0":
            head += (
                f"vlan {int.from_bytes(frame[14:16]) & 0xFFF}, p {frame[14] >> 5}, ethertype "
                f"{_ETHERTYPES.get(captured.ethertype, '?')}, "
            )
        for prefix in ("IP6 ", "IP ", "ARP, "):
            if body.startswith(prefix) and not body.startswith("IP ("):
                return head + body.removeprefix(prefix)
        return head + body.removeprefix("IP ")

    def _network(self, captured: CapturedFrame) -> str:
        if captured.ethertype == 0x0806:
            return self._arp(captured.payload)
        if captured.packet is None:
            return (
                f"ethertype {_ETHERTYPES.get(captured.ethertype, f'Unknown (0x{captured.ethertype:04x})')}, length "
                f"{len(captured.payload)}"
            )
        return self.packet(captured.packet)

    def _arp(self, message: bytes) -> str:
        if len(message) < 28:
            return "ARP, [|arp]"
        kind = "ARP, Ethernet (len 6), IPv4 (len 4)" if self.verbosity else "ARP"
        sender, target = format_ip(message[14:18]), format_ip(message[24:28])
        if message[6:8] == b"\0\x01":
            hardware = "" if message[18:24] == bytes(6) else f" ({format_mac(message[18:24])})"
            return f"{kind}, Request who-has {target}{hardware} tell {sender}, length {len(message)}"
        return f"{kind}, Reply {sender} is-at {format_mac(message[8:14])}, length {len(message)}"

    def packet(self, packet: Packet) -> str:
        """Format an IP packet."""
        text = self._transport(packet)
        if not self.verbosity:
            return f"{'IP6' if packet.family == 6 else 'IP'} {text}"
        name = _PROTOCOL_NAMES.get(packet.protocol, "unknown")
        if packet.family == 6:
            return (
                f"IP6 (hlim {packet.ttl}, next-header {name} ({packet.protocol}) payload length: "
                f"{len(packet.data) - 40}) {text}"
            )
        flags = "+" if packet.more_fragments else "DF" if packet.dont_fragment else "none"
        return (
            f"IP (tos 0x{packet.data[1]:x}, ttl {packet.ttl}, id {packet.identification}, offset "
            f"{packet.fragment_offset}, "
            f"flags [{flags}], proto {name} ({packet.protocol}), length {len(packet.data)})\n    {text}"
        )

    def _transport(self, packet: Packet) -> str:
        src, dst = format_ip(packet.src), format_ip(packet.dst)
        if packet.fragment_offset:
            return f"{src} > {dst}: {str(_PROTOCOL_NAMES.get(packet.protocol, packet.protocol)).lower()}"
        if packet.protocol in (6, 17):
            head = f"{src}.{self._port(packet.sport)} > {dst}.{self._port(packet.dport)}: "
            return head + (self._tcp(packet) if packet.protocol == 6 else self._udp(packet))
        if packet.protocol == 1:
            return f"{src} > {dst}: {self._icmp4(packet)}"
        if packet.protocol == 58:
            return f"{src} > {dst}: {self._checksum_note(packet)}{self._icmp6(packet)}"
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
        if self.is_quick:
            return f"tcp {length}"
        words = [f"Flags [{flag_text(flags)}]"]
        words += [f"cksum 0x{segment[16:18].hex()} ({_checksum_verdict(packet)})"] if self.verbosity else []
        if flags & 16 and not self.is_absolute:
            sequence, acknowledged = self._relative(packet, sequence, acknowledged, is_first=bool(flags & 2))
        if length:
            words.append(f"seq {sequence}:{sequence + length & 0xFFFFFFFF}")
        elif flags & 7 or self.verbosity > 1:
            words.append(f"seq {sequence}")
        words += [f"ack {acknowledged}"] if flags & 16 else []
        words.append(f"win {window}")
        options = _tcp_options(segment[20:header])
        words += [f"options [{options}]"] if options else []
        words.append(f"length {length}")
        return ", ".join(words) + _http(segment[header:], (packet.sport, packet.dport), self.verbosity)

    def _relative(self, packet: Packet, sequence: int, acknowledged: int, *, is_first: bool) -> tuple[int, int]:
        """Return a TCP segment's sequence and acknowledgement numbers, relative to the connection's first segment.

        The numbers of the first segment itself are returned unchanged, as are those of a segment with SYN
        (`is_first`).
        """
        key = (packet.src, packet.sport, packet.dst, packet.dport)
        back = (packet.dst, packet.dport, packet.src, packet.sport)
        if is_first or key not in self._first:
            self._first[key], self._first[back] = sequence, acknowledged - 1
            return sequence, acknowledged
        return (sequence - self._first[key]) & 0xFFFFFFFF, (acknowledged - self._first[back]) & 0xFFFFFFFF

    def _udp(self, packet: Packet) -> str:
        data = packet.payload[8:]
        if self.is_quick:
            return f"UDP, length {len(data)}"
        return self._checksum_note(packet) + self._datagram(packet, data)

    def _checksum_note(self, packet: Packet) -> str:
        """Return the text about the checksum of a UDP datagram or an ICMPv6 message, or "" to print nothing."""
        # For UDP tcpdump prints the checksum only with -vv or more.
        if self.verbosity < (2 if packet.protocol == 17 else 1) or packet.more_fragments:
            return ""
        name = "udp" if packet.protocol == 17 else "icmp6"
        at = 6 if packet.protocol == 17 else 2
        if not any(packet.payload[at : at + 2]):
            return f"[no {name.upper()} sum] " if name == "udp" else ""
        return (
            f"[{name} sum ok] "
            if _checksum_verdict(packet) == "correct"
            else f"[bad {name} cksum 0x{packet.payload[at : at + 2].hex()}] "
        )

    def _datagram(self, packet: Packet, data: bytes) -> str:
        is_vxlan = self.udp_kind == "vxlan" or (not self.udp_kind and packet.dport in _VXLAN_PORTS)
        if is_vxlan and len(data) >= 22:
            inner = Printer(
                self.is_numeric, self.has_link_header, self.verbosity, self.udp_kind, is_absolute=self.is_absolute
            )
            inner._first = self._first
            return f"VXLAN, flags [I] (0x{data[0]:02x}), vni {int.from_bytes(data[4:7])}\n{inner.line(data[8:])}"
        if self.udp_kind == "domain" or (not self.udp_kind and 53 in (packet.sport, packet.dport)):
            text = _dns(data, self.verbosity)
            if text:
                return text
        return f"UDP, length {len(data)}"

    def _link_options(self, options: bytes) -> str:
        """Format the link-layer address options of a neighbour discovery message, one per line.

        Return "" without -v. With -vv or more, each option is followed by a hexadecimal dump.
        """
        text = ""
        while self.verbosity and len(options) >= 8 and options[1]:
            kind, size, value = options[0], options[1] * 8, options[2 : options[1] * 8]
            name = {1: "source link-address", 2: "destination link-address"}.get(kind, "unknown")
            text += f"\n\t  {name} option ({kind}), length {size} ({options[1]}): {value.hex(':')}"
            text += hex_dump(value, has_text=False).replace("\t", "\t    ") if self.verbosity > 1 else ""
            options = options[size:]
        return text

    def _with_length(self, text: str, length: int, before: int = 0) -> str:
        """Add `length`, the length of an ICMPv6 message, to its text.

        Without -v it is added at the end. With -v it is inserted after the first `before` comma-separated parts of
        `text`; if `before` is 0, it is omitted.
        """
        if not self.verbosity:
            return f"{text}, length {length}"
        words = text.split(", ")
        return ", ".join([*words[:before], f"length {length}", *words[before:]]) if before else text

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
            return self._with_length(f"ICMP6, echo {verb}, id {identifier}, seq {sequence}", length)
        if kind == 135:
            text = self._with_length(
                f"ICMP6, neighbor solicitation, who has {format_ip(message[8:24])}", length, before=2
            )
            return text + self._link_options(message[24:])
        if kind == 136:
            text = self._with_length(
                f"ICMP6, neighbor advertisement, tgt is {format_ip(message[8:24])}", length, before=2
            )
            names = ("router", "solicited", "override")
            flags = ", ".join(name for at, name in enumerate(names) if message[4] & 0x80 >> at)
            return text + (f", Flags [{flags or 'none'}]{self._link_options(message[24:])}" if self.verbosity else "")
        quoted = message[8:]
        target = format_ip(quoted[24:40]) if len(quoted) >= 40 else "?"
        if kind == 1:
            texts = {0: "unreachable route {}", 1: "unreachable prohibited {}", 3: "unreachable address {}"}
            text = texts.get(code, "unreachable {}").format(target)
            if code == 4 and len(quoted) >= 44:
                protocol = {6: "tcp", 17: "udp"}.get(quoted[6], str(quoted[6]))
                text = (
                    f"destination unreachable, unreachable port, {target} {protocol} port "
                    f"{int.from_bytes(quoted[42:44])}"
                )
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


def _checksum_verdict(packet: Packet) -> str:
    """Return `correct` or `incorrect` for the checksum of a TCP segment, a UDP datagram or an ICMPv6 message."""
    pseudo = packet.src + packet.dst + len(packet.payload).to_bytes(4) + packet.protocol.to_bytes(4)
    return "correct" if not checksum(pseudo + packet.payload) else "incorrect"


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


def _http(data: bytes, ports: tuple[int, int], verbosity: int) -> str:
    if not {80, 8080} & set(ports) or not data:
        return ""
    first = data.split(b"\r\n")[0]
    if verbosity:
        is_head = first.startswith((b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"HTTP/"))
        lines = data.decode("latin-1").replace("\r\n", "\n").split("\n") if is_head else []
        lines = lines[:-1] if lines and not lines[-1] else lines
        return f": HTTP, length: {len(data)}" + "".join(f"\n\t{line}" for line in lines)
    if first.startswith((b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"HTTP/")):
        return f": HTTP: {first.decode('latin-1')}"
    return ": HTTP"


def _dns(data: bytes, verbosity: int) -> str:
    import dns.flags
    import dns.rcode
    import dns.rdatatype

    message = parse_answer(data)
    if message is None:
        return ""
    if not message.flags & dns.flags.QR:
        plus = "+" if message.flags & dns.flags.RD else ""
        questions = " ".join(f"{dns.rdatatype.to_text(entry.rdtype)}? {entry.name}" for entry in message.question)
        extra = " [1au]" if message.edns >= 0 else ""
        return f"{message.id}{plus}{extra} {questions} ({len(data)})"
    marks = "*" if message.flags & dns.flags.AA else ""
    marks += "" if message.flags & dns.flags.RA else "-"
    code = {0: "", 2: " ServFail", 3: " NXDomain", 5: " Refused"}.get(
        int(message.rcode()), f" {dns.rcode.to_text(message.rcode())}"
    )
    counts = [sum(len(rrset) for rrset in part) for part in (message.answer, message.authority, message.additional)]
    counts[2] += message.edns >= 0
    records = ", ".join(
        f"{f'{rrset.name} ' if verbosity else ''}{dns.rdatatype.to_text(rrset.rdtype)} {record.to_text()}"
        for rrset in message.answer
        for record in rrset
    )
    if verbosity > 1:
        marks += "".join(f" q: {dns.rdatatype.to_text(entry.rdtype)}? {entry.name}" for entry in message.question)
    return f"{message.id}{code}{marks} {'/'.join(map(str, counts))}{' ' + records if records else ''} ({len(data)})"

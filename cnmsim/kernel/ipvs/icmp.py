"""Translation of ICMP errors about balanced packets, and of the packets they quote (ip_vs_nat_icmp)."""

from __future__ import annotations

from cnmsim.kernel.address import Address
from cnmsim.kernel.checksum import checksum, transport_checksum
from cnmsim.kernel.netfilter.nat import quoted_with
from cnmsim.kernel.netfilter.tuples import quoted_header
from cnmsim.kernel.skbuff import Packet

#: The ICMP types that are translated: destination unreachable, source quench, time exceeded; for ICMPv6 unreachable,
#: too big, time exceeded.
ERRORS = {4: frozenset({3, 4, 11}), 6: frozenset({1, 2, 3})}


def translate_error(packet: Packet, address: Address, port: int, *, to_client: bool) -> None:
    """Replace addresses and ports in an ICMP error, and in the packet that it quotes.

    In an error to the client, its source and the quoted destination become the virtual endpoint. In an error to a
    destination, its destination and the quoted source become the real endpoint.
    """
    message = packet.payload
    quoted = message[8:]
    header = quoted_header(packet.family, quoted)
    assert header is not None  # parsed before, to find the connection
    inner = quoted_with(packet.family, quoted, header, address, port, is_source=not to_client)
    if to_client:
        packet.translate(src=address)
    else:
        packet.translate(dst=address)
    body = message[:2] + b"\0\0" + message[4:8] + inner
    total = checksum(body) if packet.family == 4 else transport_checksum(packet.src, packet.dst, 58, body)
    packet.replace_payload(body[:2] + total.to_bytes(2) + body[4:])

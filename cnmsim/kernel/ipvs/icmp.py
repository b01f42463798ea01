"""Translation of ICMP errors about packets of IPVS connections, and of the quoted packets (ip_vs_nat_icmp)."""

from __future__ import annotations

from cnmsim.kernel.address import Address
from cnmsim.kernel.netfilter.nat import quoted_with, replace_quoted
from cnmsim.kernel.netfilter.tuples import quoted_header
from cnmsim.kernel.skbuff import Packet

#: The ICMP types that are translated: destination unreachable, source quench, time exceeded; for ICMPv6 unreachable,
#: too big, time exceeded.
ERRORS = {4: frozenset({3, 4, 11}), 6: frozenset({1, 2, 3})}


def translate_error(packet: Packet, address: Address, port: int, *, to_client: bool) -> None:
    """Translate an ICMP error about a packet of an IPVS connection, and the packet that the error quotes.

    If `to_client` is True, `address` and `port` are the virtual endpoint: they become the source of the error and the
    destination of the quoted packet. Otherwise they are the real server's endpoint, and become the destination of the
    error and the source of the quoted packet.
    """
    quoted = packet.payload[8:]
    header = quoted_header(packet.family, quoted)
    assert header is not None  # parsed before, to find the connection
    inner = quoted_with(packet.family, quoted, header, address, port, is_source=not to_client)
    if to_client:
        packet.translate(src=address)
    else:
        packet.translate(dst=address)
    replace_quoted(packet, inner)

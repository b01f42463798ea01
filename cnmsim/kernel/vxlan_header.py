"""The VXLAN header (RFC 7348 section 5), and the UDP source port of a flow."""

from __future__ import annotations

from functools import lru_cache
from zlib import crc32

#: Length of the VXLAN header, in bytes.
VXLAN_LENGTH = 8

_ETHERTYPE_IPV4, _ETHERTYPE_IPV6 = b"\x08\x00", b"\x86\xdd"
#: TCP, UDP and SCTP.
_PROTOCOLS_WITH_PORTS = (6, 17, 132)


@lru_cache(maxsize=4096)
def vxlan_header(vni: int) -> bytes:
    """Return the VXLAN header of a VNI, built by scapy."""
    from scapy.layers.vxlan import VXLAN

    return bytes(VXLAN(flags="Instance", vni=vni))


def source_port(frame: bytes, low: int, high: int) -> int:
    """Return the UDP source port for an inner frame: the same for all frames of one flow (RFC 7348 section 5).

    `low` and `high` are the limits of the local port range. As in Linux (udp_flow_src_port), `high` itself is never
    used.
    """
    ethertype = frame[12:14]
    if ethertype == _ETHERTYPE_IPV4 and len(frame) >= 38:
        protocol = frame[23]
        has_ports = frame[14] == 0x45 and protocol in _PROTOCOLS_WITH_PORTS and not (frame[20] & 0x3F or frame[21])
        hashed = crc32(frame[26:38] if has_ports else frame[26:34], protocol)
    elif ethertype == _ETHERTYPE_IPV6 and len(frame) >= 58:
        protocol = frame[20]
        hashed = crc32(frame[22:58] if protocol in _PROTOCOLS_WITH_PORTS else frame[22:54], protocol)
    else:
        hashed = crc32(frame[:14])
    return low + (hashed * (high - low) >> 32)

"""The VXLAN header (RFC 7348 section 5) behind its UDP header, and the UDP source port that stands for a flow."""

from __future__ import annotations

from functools import cache, lru_cache
from zlib import crc32

#: Length of the VXLAN header, in bytes.
VXLAN_LENGTH = 8
#: UDP and VXLAN header with everything zero but the VNI flag; used where scapy is missing.
PLAIN_TEMPLATE = bytes(8) + b"\x08" + bytes(7)

_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"
_WITH_PORTS = (6, 17, 132)


@cache
def template() -> bytes:
    """Give the 16 bytes of a UDP and a VXLAN header whose variable fields are zero.

    They are written by scapy once; every packet then only gets its own fields filled in.
    """
    try:
        from scapy.layers.inet import UDP
        from scapy.layers.vxlan import VXLAN
    except ImportError:
        return PLAIN_TEMPLATE
    return bytes(UDP(sport=0, dport=0, len=0, chksum=0) / VXLAN(flags="Instance", vni=0))


@lru_cache(maxsize=4096)
def vxlan_header(vni: int) -> bytes:
    """Give the VXLAN header of every frame of one network: the template's flags, and its VNI."""
    head = template()
    return head[8:12] + vni.to_bytes(3) + head[15:]


def source_port(frame: bytes, low: int, high: int) -> int:
    """Give the UDP source port of an inner frame: the same for all frames of one flow (RFC 7348 section 5).

    `low` and `high` bound the local port range; as in Linux (udp_flow_src_port) the last port is never used.
    """
    ethertype = frame[12:14]
    if ethertype == _IPV4 and len(frame) >= 38:
        protocol = frame[23]
        has_ports = frame[14] == 0x45 and protocol in _WITH_PORTS and not (frame[20] & 0x3F or frame[21])
        hashed = crc32(frame[26:38] if has_ports else frame[26:34], protocol)
    elif ethertype == _IPV6 and len(frame) >= 58:
        protocol = frame[20]
        hashed = crc32(frame[22:58] if protocol in _WITH_PORTS else frame[22:54], protocol)
    else:
        hashed = crc32(frame[:14])
    return low + (hashed * (high - low) >> 32)

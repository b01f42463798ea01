"""Congestion marks through a tunnel: RFC 6040 as INET_ECN_encapsulate and INET_ECN_decapsulate of Linux apply it."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether

from cnmsim.kernel.ecn import CE, ECT_0, ECT_1, NOT_ECT, decapsulated, outer_ecn

DSCP = 0xB8


def inner(family: int, ecn: int) -> bytes:
    payload = IP(tos=DSCP | ecn, dst=IPv4Address(1)) if family == 4 else IPv6(tc=DSCP | ecn, fl=0xABCDE)
    return bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / payload)


def outer(family: int, ecn: int) -> bytes:
    return bytes(IP(tos=ecn) if family == 4 else IPv6(tc=ecn))


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(("ecn", "result"), [(NOT_ECT, NOT_ECT), (ECT_0, ECT_0), (ECT_1, ECT_1), (CE, ECT_0)])
def test_the_outer_header_has_the_inner_mark_except_ce(family: int, ecn: int, result: int) -> None:
    assert outer_ecn(inner(family, ecn)) == result


#: The inner mark after decapsulation, by inner and outer mark; -1: dropped.
AFTER = {
    NOT_ECT: {NOT_ECT: NOT_ECT, ECT_0: NOT_ECT, ECT_1: NOT_ECT, CE: -1},
    ECT_0: {NOT_ECT: ECT_0, ECT_0: ECT_0, ECT_1: ECT_1, CE: CE},
    ECT_1: {NOT_ECT: ECT_1, ECT_0: ECT_1, ECT_1: ECT_1, CE: CE},
    CE: {NOT_ECT: CE, ECT_0: CE, ECT_1: CE, CE: CE},
}


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("outer_family", [4, 6])
@pytest.mark.parametrize("ecn", AFTER)
def test_the_inner_packet_gets_the_outer_mark(family: int, outer_family: int, ecn: int) -> None:
    for mark, after in AFTER[ecn].items():
        result = decapsulated(inner(family, ecn), outer(outer_family, mark))
        assert result == (None if after == -1 else inner(family, after)), (mark, after)


def test_a_frame_without_an_ip_packet_has_no_mark_and_keeps_its_bytes() -> None:
    frame = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / ARP())
    assert outer_ecn(frame) == NOT_ECT
    assert decapsulated(frame, outer(4, CE)) == frame

"""What is read off bytes."""

from __future__ import annotations

import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.walks import DB, GATEWAY, WEB, WEB_MAC, echo, framed, tcp, udp

from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.transport import ArpMessage
from cnmsim.observe.trace.packet_summary import summarize


def _dns(answer: str = "") -> bytes:
    query = dns.message.make_query("db", "A", id=5)
    if not answer:
        return query.to_wire()
    response = dns.message.make_response(query)
    response.answer.append(dns.rrset.from_text("db.", 600, "IN", "A", answer))
    return response.to_wire()


@pytest.mark.parametrize(
    ("packet", "label", "addresses"),
    [
        (tcp(2), "TCP SYN", "172.18.0.2:40000 > 172.18.0.3:80"),
        (tcp(18), "TCP SYN-ACK", "172.18.0.2:40000 > 172.18.0.3:80"),
        (tcp(20), "TCP RST", "172.18.0.2:40000 > 172.18.0.3:80"),
        (udp(b"hello", dport=99), "UDP 5 bytes", "172.18.0.2:40000 > 172.18.0.3:99"),
        (udp(_dns()), "DNS A? db", "172.18.0.2:40000 > 172.18.0.3:53"),
        (udp(_dns("172.18.0.3"), sport=53), "DNS A db = 172.18.0.3", "172.18.0.2:53 > 172.18.0.3:53"),
        (udp(b"not dns"), "UDP 7 bytes", "172.18.0.2:40000 > 172.18.0.3:53"),
        (echo(), "ICMP echo request", "172.18.0.2 > 172.18.0.3"),
    ],
)
def test_a_packet_is_named_and_its_addresses_written(packet: bytes, label: str, addresses: str) -> None:
    summary = summarize(packet, is_frame=False)
    assert (summary.label, summary.addresses) == (label, addresses)
    assert summarize(framed(packet), is_frame=True).label == label


def test_arp_serves_the_link_only() -> None:
    arp = ArpMessage(1, WEB_MAC, WEB, bytes(6), DB).to_wire()
    summary = summarize(b"\xff" * 6 + WEB_MAC + b"\x08\x06" + arp, is_frame=True)
    assert summary.label == "ARP who has 172.18.0.3"
    assert summary.layer4.is_link


@given(
    ttl=st.integers(1, 255), sport=st.integers(1, 65535), dport=st.integers(1, 65535), seq=st.integers(0, 2**32 - 1)
)
def test_translation_and_hops_leave_a_message_in_its_walk(ttl: int, sport: int, dport: int, seq: int) -> None:
    original = tcp(seq=seq)
    packet = Packet(original)
    packet.set_ttl(ttl)
    packet.translate(GATEWAY, WEB, sport, dport)
    assert summarize(packet.data, is_frame=False).walk == summarize(original, is_frame=False).walk


def test_a_tunnelled_message_stays_in_its_walk() -> None:
    inner = framed(tcp())
    outer = udp(b"\x08\0\0\0\0\x10\x01\0" + inner, dport=4789)
    assert summarize(outer, is_frame=False).walk == summarize(inner, is_frame=True).walk
    assert summarize(outer, is_frame=False).label == "VXLAN 4097 | TCP SYN"


def test_two_connections_have_two_walks() -> None:
    assert summarize(tcp(seq=1), is_frame=False).walk != summarize(tcp(seq=2), is_frame=False).walk


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_can_be_read(data: bytes, is_frame: bool) -> None:
    assert summarize(data, is_frame=is_frame).label

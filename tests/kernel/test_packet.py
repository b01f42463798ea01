"""Packets have the same bytes as scapy's, before and after a change; malformed ones are rejected."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from cnmsim.kernel.packet import MalformedPacketError, build_ip
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.transport import ArpMessage, TcpSegment, icmp_message, udp_message

ports = st.integers(0, 65535)
payloads = st.binary(max_size=80)
addresses4 = st.binary(min_size=4, max_size=4)
addresses6 = st.binary(min_size=16, max_size=16)
pairs = st.one_of(st.tuples(addresses4, addresses4), st.tuples(addresses6, addresses6))


def recomputed(data: bytes) -> bytes:
    """Return the packet with every checksum recomputed by scapy."""
    packet = IP(data) if data[0] >> 4 == 4 else IPv6(data)
    for layer in (IP, TCP, UDP):
        if packet.haslayer(layer):
            del packet[layer].chksum
    return bytes(packet)


@given(pairs, ports, ports, payloads)
def test_udp_packets_are_what_scapy_would_send(pair, sport, dport, payload):
    src, dst = pair
    data = build_ip(17, src, dst, udp_message(src, dst, sport, dport, payload))
    packet = Packet(data)
    assert (packet.src, packet.dst, packet.sport, packet.dport) == (src, dst, sport, dport)
    rebuilt = IP(data) if len(src) == 4 else IPv6(data)
    del rebuilt[UDP].chksum
    assert bytes(rebuilt)[packet.l4 : packet.l4 + 8] == data[packet.l4 : packet.l4 + 8]


@given(pairs, st.data(), ports, ports, payloads, st.sampled_from([6, 17]))
def test_translation_keeps_every_checksum_right(pair, data, sport, dport, payload, protocol):
    src, dst = pair
    other = data.draw(addresses4 if len(src) == 4 else addresses6)
    if protocol == 6:
        message = TcpSegment(1, 2, 3, 4, 16, 500, b"", payload).to_wire(src, dst)
    else:
        message = udp_message(src, dst, 1, 2, payload)
    packet = Packet(build_ip(protocol, src, dst, message))
    packet.translate(dst=other, sport=sport, dport=dport)
    packet.set_ttl(7)
    fresh = (
        TcpSegment(sport, dport, 3, 4, 16, 500, b"", payload).to_wire(src, other)
        if protocol == 6
        else udp_message(src, other, sport, dport, payload)
    )
    assert packet.data == build_ip(protocol, src, other, fresh, ttl=7)
    assert (packet.dst, packet.sport, packet.dport, packet.ttl) == (other, sport, dport, 7)


def test_a_udp_datagram_without_a_checksum_keeps_none():
    src, dst = b"\x0a\0\0\1", b"\x0a\0\0\2"
    message = bytearray(udp_message(src, dst, 1, 2, b"x"))
    message[6:8] = b"\0\0"
    packet = Packet(build_ip(17, src, dst, bytes(message)))
    packet.translate(src=b"\x0a\0\0\3")
    assert packet.data[26:28] == b"\0\0"


@given(st.binary(max_size=120))
def test_any_bytes_are_a_packet_or_refused(data):
    try:
        packet = Packet(data)
    except MalformedPacketError:
        return
    assert packet.l4 <= len(packet.data) <= len(data)
    assert packet.summary()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda d: d[:12], "truncated"),
        (lambda d: d[:30], "length field"),
        (lambda d: d[:10] + b"\0\1" + d[12:], "checksum"),
        (lambda d: b"\x55" + d[1:], "version 5"),
        (lambda _: b"", "empty"),
    ],
)
def test_a_broken_header_is_named(spoil, says):
    src, dst = b"\x0a\0\0\1", b"\x0a\0\0\2"
    data = build_ip(17, src, dst, udp_message(src, dst, 1, 2, b"hello"))
    with pytest.raises(MalformedPacketError, match=says):
        Packet(spoil(data))


def test_ethernet_padding_is_no_part_of_the_packet():
    data = build_ip(1, b"\x0a\0\0\1", b"\x0a\0\0\2", icmp_message(8, 0))
    assert Packet(data + bytes(18)).data == data


def test_an_mss_option_is_found_behind_others():
    segment = TcpSegment(1, 2, 3, 0, 2, 100, b"\x01\x01\x02\x04\x05\xb4\x04\x02")
    assert TcpSegment.parse(segment.to_wire(b"\1\1\1\1", b"\2\2\2\2")).mss == 1460


@given(st.binary(max_size=40))
def test_any_bytes_are_an_arp_message_or_refused(data):
    try:
        message = ArpMessage.parse(data)
    except MalformedPacketError:
        return
    assert message.to_wire() == data[:28]


@given(st.binary(min_size=20, max_size=60))
def test_tcp_options_never_make_the_parser_run_away(data):
    try:
        segment = TcpSegment.parse(data)
    except MalformedPacketError:
        return
    assert segment.mss is None or 0 <= segment.mss <= 65535

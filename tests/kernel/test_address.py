"""Addresses and prefixes as bytes, and their conversion from and to text."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.kernel.address import (
    Prefix,
    eui64_link_local,
    format_ip,
    format_mac,
    is_multicast,
    multicast_mac,
    parse_interface,
    parse_ip,
    parse_mac,
    solicited_node,
)

packed = st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16))


@given(packed)
def test_text_and_bytes_are_the_same_address(address):
    assert parse_ip(format_ip(address)) == address
    assert parse_ip(str(ip_address(address))) == address


@given(packed, st.integers(0, 128), packed)
def test_membership_is_what_the_standard_library_says(address, length, other):
    length = min(length, len(address) * 8)
    prefix = Prefix.of(address, length)
    network = ip_network((address, length), strict=False)
    assert str(prefix) == str(network) or len(address) == 16
    assert (other in prefix) == (ip_address(other) in network)
    assert ip_address(prefix.broadcast) == network.broadcast_address


@pytest.mark.parametrize(
    "text", ["10.0.0.256", "10.0.0", "", "fe80::1::2", "a", "1.2.3.4/33", "1.2.3.4/-1", "::/129"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="invalid"):
        parse_interface(text)


def test_host_bits_are_refused_unless_asked_for():
    with pytest.raises(ValueError, match="host bits"):
        Prefix.parse("10.0.0.1/8")
    assert str(Prefix.parse("10.0.0.1/8", strict=False)) == "10.0.0.0/8"


@given(st.binary(min_size=6, max_size=6))
def test_mac_text_round_trips(mac):
    assert parse_mac(format_mac(mac)) == mac


def test_derived_addresses_are_the_rfcs():
    mac = parse_mac("02:42:ac:11:00:02")
    assert format_ip(eui64_link_local(mac)) == "fe80::42:acff:fe11:2"
    assert format_mac(multicast_mac(parse_ip("224.129.0.5"))) == "01:00:5e:01:00:05"
    assert format_ip(solicited_node(parse_ip("fd00::1:2:3"))) == "ff02::1:ff02:3"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("223.255.255.255", False),
        ("224.0.0.0", True),
        ("239.255.255.255", True),
        ("240.0.0.0", False),
        ("fe80::1", False),
        ("ff02::1", True),
    ],
)
def test_multicast_is_224_to_239_and_ff00(address, expected):
    assert is_multicast(parse_ip(address)) is expected

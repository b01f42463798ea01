"""Addresses of hosts: valid ones, and their distribution over interfaces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.underlay.interface import group_addresses, read_address


@pytest.mark.parametrize(
    ("addresses", "grouped"),
    [
        (["10.0.0.1/24", "203.0.113.1/24"], [["10.0.0.1/24"], ["203.0.113.1/24"]]),
        (["10.0.0.1/24", "10.0.0.2/24"], [["10.0.0.1/24", "10.0.0.2/24"]]),
        (["10.0.0.1/24", "2001:db8::1/64"], [["10.0.0.1/24", "2001:db8::1/64"]]),
        (
            ["10.0.0.1/24", "2001:db8:1::1/64", "10.1.0.1/24", "2001:db8:2::1/64"],
            [["10.0.0.1/24", "2001:db8:1::1/64"], ["10.1.0.1/24", "2001:db8:2::1/64"]],
        ),
        (["2001:db8:1::1/64", "2001:db8:2::1/64"], [["2001:db8:1::1/64"], ["2001:db8:2::1/64"]]),
    ],
)
def test_each_subnet_is_an_interface_and_ipv6_joins_the_ipv4_before_it(
    addresses: list[str], grouped: list[list[str]]
) -> None:
    assert [[str(each) for each in group.addresses] for group in group_addresses(addresses)] == grouped


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10.0.0.1", "the prefix length is missing"),
        ("10.0.0.0/24", "is the address of the subnet itself"),
        ("10.0.0.255/24", "is the broadcast address of 10.0.0.0/24"),
        ("127.0.0.1/8", "not a valid host address"),
        ("224.0.0.1/24", "not a valid host address"),
        ("ff02::1/64", "not a valid host address"),
        ("::1/128", "not a valid host address"),
        ("10.0.0.1/33", "invalid interface address"),
        ("10.0.0/24", "invalid IP address"),
        ("10.0.0.1/0", "contains every address"),
    ],
)
def test_an_impossible_address_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_address(text)


@pytest.mark.parametrize("text", ["10.0.0.0/31", "10.0.0.1/31", "10.0.0.7/32", "2001:db8::1/127"])
def test_point_to_point_and_host_prefixes_are_addresses(text: str) -> None:
    assert str(read_address(text)) == text


def test_an_address_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.1 is given twice"):
        group_addresses(["10.0.0.1/24", "10.0.0.1/25"])


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        address = read_address(text)
    except ValueError:
        return
    assert read_address(str(address)) == address

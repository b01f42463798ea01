"""The errors of Go's netip; the expected texts are go1.26's."""

import pytest

from cnmsim.gonetip import addr_error, prefix_error


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("10.0.0.1", ""),
        ("fe80::1%eth0", ""),
        ("nonsense", 'ParseAddr("nonsense"): unable to parse IP'),
        ("1.2.3", 'ParseAddr("1.2.3"): IPv4 address too short'),
        ("10.57.0.300", 'ParseAddr("10.57.0.300"): IPv4 field has value >255'),
        ("1.2.3.04", 'ParseAddr("1.2.3.04"): IPv4 field has octet with leading zero'),
        ("1..2.3", 'ParseAddr("1..2.3"): IPv4 field must have at least one digit (at ".2.3")'),
        ("12345::", 'ParseAddr("12345::"): each group must have 4 or less digits (at "12345::")'),
        ("1::2::3", 'ParseAddr("1::2::3"): multiple :: in address (at ":3")'),
        ("1:2", 'ParseAddr("1:2"): address string too short'),
    ],
)
def test_an_address_is_refused_in_gos_words(text, error):
    assert addr_error(text) == error


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("10.0.0.0/8", ""),
        ("10.50.0.0/33", 'netip.ParsePrefix("10.50.0.0/33"): prefix length out of range'),
        ("10.50.0.0", "netip.ParsePrefix(\"10.50.0.0\"): no '/'"),
        ("10.50.0.0/08", 'netip.ParsePrefix("10.50.0.0/08"): bad bits after slash: "08"'),
        ("x/8", 'netip.ParsePrefix("x/8"): ParseAddr("x"): unable to parse IP'),
    ],
)
def test_a_prefix_is_refused_in_gos_words(text, error):
    assert prefix_error(text) == error

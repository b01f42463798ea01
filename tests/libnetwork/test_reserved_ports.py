"""Ports that net.ipv4.ip_local_reserved_ports reserves (Documentation/networking/ip-sysctl.rst)."""

from __future__ import annotations

import pytest

from cnmsim.libnetwork.portallocator import reserved_ports


@pytest.mark.parametrize(
    ("text", "ports"),
    [("", set()), ("\n", set()), ("8080", {8080}), ("8080,9148\n", {8080, 9148}), ("1,2-4,10-10", {1, 2, 3, 4, 10})],
)
def test_reserved_ports_are_a_list_of_ports_and_ranges(text: str, ports: set[int]) -> None:
    assert reserved_ports(text) == ports


@pytest.mark.parametrize("text", ["x", "1-x", "1,,x"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        reserved_ports(text)

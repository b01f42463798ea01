"""The short and the long syntax of ports."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.lab.compose.port_syntax import PortMapping, parse_exposed, parse_port


@pytest.mark.parametrize(
    ("given", "mappings"),
    [
        (80, [PortMapping(80)]),
        ("80", [PortMapping(80)]),
        ("8080:80", [PortMapping(80, "8080")]),
        ("8080:80/udp", [PortMapping(80, "8080", "", "udp")]),
        ("127.0.0.1:8080:80", [PortMapping(80, "8080", "127.0.0.1")]),
        ("127.0.0.1::80", [PortMapping(80, "", "127.0.0.1")]),
        ("[::1]:8080:80", [PortMapping(80, "8080", "::1")]),
        ("8000-9000:80", [PortMapping(80, "8000-9000")]),
        ("3000-3001", [PortMapping(3000), PortMapping(3001)]),
        ("9090-9091:8080-8081", [PortMapping(8080, "9090"), PortMapping(8081, "9091")]),
        ({"target": 80}, [PortMapping(80)]),
        ({"target": "80", "published": 8080, "mode": "host"}, [PortMapping(80, "8080")]),
        (
            {"target": 53, "published": "8000-8010", "host_ip": "10.0.0.1", "protocol": "udp"},
            [PortMapping(53, "8000-8010", "10.0.0.1", "udp")],
        ),
    ],
)
def test_ports_are_read(given: Any, mappings: list[PortMapping]) -> None:
    assert parse_port(given) == mappings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "No port specified"),
        ("8080:", "No port specified"),
        ("a:80", "Invalid hostPort: a"),
        ("80:b", "Invalid containerPort: b"),
        ("70000:80", "Invalid hostPort: 70000"),
        ("80/icmp", "Invalid proto: icmp"),
        ("80-79", "Invalid range specified for port"),
        ("8000-8002:80-81", "Invalid ranges specified"),
        ("1.2.3:80:80", "Invalid ip address: 1.2.3"),
        ({"target": "http"}, "Invalid target: http"),
        ({"target": 80, "published": "x"}, "Invalid published: x"),
    ],
)
def test_what_is_no_port_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_port(given)


def test_exposed_ports_may_be_ranges() -> None:
    assert parse_exposed("7000-7002/udp") == ["7000/udp", "7001/udp", "7002/udp"]
    assert parse_exposed(80) == ["80/tcp"]


@given(st.text(alphabet="0123456789:-/[].tcpudx", max_size=30))
def test_any_text_is_ports_or_a_value_error(text: str) -> None:
    try:
        found = parse_port(text)
    except ValueError:
        return
    assert all(0 <= each.target <= 65535 for each in found)

"""Port mappings as typed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import parse_ip
from cnmsim.libnetwork.options import PortBinding, TransportPort
from cnmsim.libnetwork.portspec import (
    PortSpec,
    lower_first,
    parse_expose,
    parse_port_spec,
    port_map,
    read_port_bindings,
)
from cnmsim.libnetwork.profile import profile


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("80", [PortSpec("tcp", 80)]),
        ("80/UDP", [PortSpec("udp", 80)]),
        ("80/sctp", [PortSpec("sctp", 80)]),
        ("8080:80", [PortSpec("tcp", 80, "", "8080")]),
        (":80", [PortSpec("tcp", 80)]),
        ("127.0.0.1:8081:80", [PortSpec("tcp", 80, "127.0.0.1", "8081")]),
        ("127.0.0.1::80", [PortSpec("tcp", 80, "127.0.0.1")]),
        ("[::1]:8080:80", [PortSpec("tcp", 80, "::1", "8080")]),
        ("2001:db8::1:8080:80", [PortSpec("tcp", 80, "2001:db8::1", "8080")]),
        ("9000-9002:80", [PortSpec("tcp", 80, "", "9000-9002")]),
        ("9000-9001:80-81/tcp", [PortSpec("tcp", 80, "", "9000"), PortSpec("tcp", 81, "", "9001")]),
        ("80-81", [PortSpec("tcp", 80), PortSpec("tcp", 81)]),
        ("published=8080,target=80", [PortSpec("tcp", 80, "", "8080")]),
        ("published=53,target=53,protocol=udp", [PortSpec("udp", 53, "", "53")]),
    ],
)
def test_a_port_argument_reads_as(text: str, specs: list[PortSpec]) -> None:
    assert parse_port_spec(text) == specs


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("9100-9105:80-82", "Invalid ranges specified for container and host Ports: 80-82 and 9100-9105"),
        ("80/foo", "Invalid proto: foo"),
        ("300.0.0.1:80:80", "Invalid ip address: 300.0.0.1"),
        ("abc:80", "Invalid hostPort: abc"),
        ("70000:80", "Invalid hostPort: 70000"),
        ("8080:http", "Invalid containerPort: http"),
        ("82-80", "Invalid containerPort: 82-80"),
        ("8080:", "No port specified: 8080:<empty>"),
        ("", "No port specified: <empty>"),
        ("published=8080,target", "invalid publish opts format (should be name=value but got 'target')"),
    ],
)
def test_a_port_argument_is_refused_with(text: str, fault: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        parse_port_spec(text)
    assert caught.value.message == fault


def test_newer_clients_begin_with_a_small_letter() -> None:
    assert lower_first("Invalid proto: foo") == "invalid proto: foo"


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("80", [TransportPort("tcp", 80)]),
        ("9000/udp", [TransportPort("udp", 9000)]),
        ("70-71", [TransportPort("tcp", 70), TransportPort("tcp", 71)]),
    ],
)
def test_exposed_ports_read_as(text: str, ports: list[TransportPort]) -> None:
    assert parse_expose(text) == ports


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("80:80", "invalid port format for --expose: 80:80"),
        ("http", "invalid range format for --expose: http"),
        ("80/foo", "invalid proto: foo"),
    ],
)
def test_exposed_ports_are_refused_with(text: str, fault: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        parse_expose(text)
    assert caught.value.message == fault


def test_a_port_map_groups_by_container_port() -> None:
    specs = [spec for text in ("8080:80", "53:53/udp", "127.0.0.1:8081:80") for spec in parse_port_spec(text)]
    assert port_map(specs) == {
        "80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": "8081"}],
        "53/udp": [{"HostIp": "", "HostPort": "53"}],
    }


def test_the_daemon_reads_bindings_of_a_body() -> None:
    body = {
        "80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "9000-9002"}],
        "53/udp": None,
    }
    assert read_port_bindings(profile(), body) == [
        PortBinding("tcp", 80, None, 8080, 8080),
        PortBinding("tcp", 80, parse_ip("::"), 9000, 9002),
        PortBinding("udp", 53),
    ]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"http/tcp": None}, "http"),
        ({"80/tcp": [{"HostPort": "abc"}]}, "abc"),
        ({"70000": None}, "70000"),
    ],
)
def test_the_daemon_refuses_what_is_no_port(body: dict[str, list[dict[str, str]] | None], text: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        read_port_bindings(profile(), body)
    assert caught.value.message == f'invalid port specification: "{text}"'


def test_only_29_refuses_container_port_0() -> None:
    assert read_port_bindings(profile("28.5.2"), {"0/tcp": None}) == [PortBinding("tcp", 0)]
    with pytest.raises(InvalidParameter, match=r'^invalid port specification: "0"$'):
        read_port_bindings(profile("29.7.2"), {"0/tcp": None})


@given(st.text(alphabet="0123456789abc.:-/[]=,tcpud", max_size=25))
def test_any_text_reads_or_is_refused(text: str) -> None:
    try:
        specs = parse_port_spec(text)
    except InvalidParameter:
        return
    assert specs
    assert all(0 <= spec.container_port <= 65535 for spec in specs)

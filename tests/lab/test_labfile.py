"""Lab files: a lab written down, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnmsim import FileError, Lab

PLAIN = """
nameserver: 203.0.113.10
segments:
  203.0.113.0/24: {latency: 5ms, loss: 0, bandwidth: 10mbit}
hosts:
  client:
    addresses: [10.0.0.50/24]
    gateway: 10.0.0.1
  router:
    addresses: [10.0.0.1/24, 203.0.113.1/24]
    router: true
  server:
    addresses: [203.0.113.10/24]
    gateway: 203.0.113.1
    names: {www.example.com: 203.0.113.10}
"""


def load(folder: Path, text: str) -> Lab:
    path = folder / "lab.yml"
    path.write_text(text)
    return Lab.from_file(path)


def test_a_lab_file_makes_the_lab(tmp_path: Path) -> None:
    lab = load(tmp_path, PLAIN)
    assert list(lab.hosts) == ["client", "router", "server"]
    assert lab.segment("203.0.113.0/24").options.latency_s == 0.005
    assert lab.segment("203.0.113.0/24").options.bandwidth_bps == 10_000_000
    assert lab.host("client").ping("www.example.com").succeeded


def test_links_and_switches_of_a_file(tmp_path: Path) -> None:
    lab = load(
        tmp_path,
        """
segments: {sw1: , sw2: {mtu: 9000}}
links:
  - {between: [sw1, sw2], latency: 1ms}
  - {between: [a, sw1]}
  - {between: [b, sw2]}
hosts:
  a: {addresses: [10.0.0.1/24]}
  b: {addresses: [10.0.0.2/24], mtu: 1400}
""",
    )
    assert lab.host("a").ping("10.0.0.2").succeeded
    assert lab.host("b").interfaces[0].mtu == 1400


def test_commands_of_a_file_are_run(tmp_path: Path) -> None:
    lab = load(tmp_path, "hosts: {a: {addresses: [10.0.0.1/24], run: [ip route add blackhole 10.9.0.0/16]}}")
    assert "blackhole 10.9.0.0/16" in lab.host("a").exec("ip route").output


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        ("", None, "", "must be a mapping"),
        ("host: {}", 1, "host", "additional property host is not allowed; did you mean hosts?"),
        ("hosts: {}", 1, "hosts", "should be non-empty"),
        ("hosts:\n  a: {}", 2, "hosts.a", "addresses is missing"),
        ("hosts:\n  a:\n    addresses: 10.0.0.1/24", 3, "hosts.a.addresses", "must be a list"),
        ("hosts:\n  a:\n    addresses:\n    - 10.0.0.1/24\n    - 10.1.0.0/24", 5, "hosts.a.addresses[1]",
         "subnet itself"),
        ("hosts:\n  a:\n    addresses: [10.0.0.1/24]\n    gateway: 10.1.0.1", 4, "hosts.a.gateway", "on none of"),
        ("hosts:\n  a:\n    addresses: [10.0.0.1/24]\n    gatway: x", 4, "hosts.a.gatway", "did you mean gateway?"),
        ("hosts:\n  a:\n    addresses: [10.0.0.1/24]\n    docker: {mtu: big}", 4, "hosts.a.docker.mtu",
         "must be a number"),
        ("hosts:\n  a:\n    addresses: [10.0.0.1/24]\n    docker: {icx: 1}", 4, "hosts.a.docker.icx", "icx"),
        ("hosts:\n  a:\n    addresses: [10.0.0.1/24]\n    routes: [nonsense]", 4, "hosts.a.routes[0]",
         "ip route add"),
        ("hosts:\n  a:\n    addresses: [10.0.0.1/24]\n    run: [exit 3]", 4, "hosts.a.run[0]", "exit status 3"),
        ("hosts:\n  a:\n    addresses: [10.0.0.1/24]\n    compose: x.yml", 4, "hosts.a.compose", "runs no engine"),
        ("hosts:\n  a: {addresses: [10.0.0.1/24]}\n  b: {addresses: [10.0.0.1/24]}", 3, "hosts.b.addresses[0]",
         "of a"),
        ("engine: 1.2.3\nhosts:\n  a: {addresses: [10.0.0.1/24]}", 1, "engine", "no engine release 1.2.3"),
        ("segments:\n  lan: {latency: fast}\nhosts:\n  a: {addresses: [10.0.0.1/24]}", 2, "segments.lan.latency",
         "'fast' is no"),
        ("segments:\n  lan: {loss: 2}\nhosts:\n  a: {addresses: [10.0.0.1/24]}", 2, "segments.lan.loss", "maximum"),
        ("links:\n- {between: [a, b]}\nhosts:\n  a: {addresses: [10.0.0.1/24]}", 2, "links[0].between",
         "interface named b"),
    ],
)  # fmt: skip
def test_a_wrong_lab_file_gets_its_line_and_key(
    tmp_path: Path, text: str, line: int | None, key: str, message: str
) -> None:
    with pytest.raises(FileError) as caught:
        load(tmp_path, text)
    assert message in str(caught.value)
    assert (caught.value.line, caught.value.key) == (line, key)


KEYS = st.sampled_from(
    ["hosts", "segments", "links", "engine", "a", "addresses", "gateway", "docker", "routes", "names", "latency",
     "between", "mtu", "router", "run", "nameserver"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
    | st.sampled_from(["10.0.0.1/24", "10.0.0.1", "5ms", "::1/64", "2001:db8::1/64"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(
    document=st.one_of(
        VALUES,
        st.fixed_dictionaries(
            {
                "hosts": st.dictionaries(
                    KEYS, st.fixed_dictionaries({"addresses": st.lists(VALUES, max_size=2)}), max_size=2
                )
            },
            optional={"segments": VALUES, "links": VALUES, "engine": VALUES, "nameserver": VALUES},
        ),
    )
)
def test_whatever_a_file_holds_it_is_a_lab_or_a_file_error(tmp_path: Path, document: Any) -> None:
    path = tmp_path / "lab.yml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    try:
        Lab.from_file(path)
    except FileError as error:
        assert str(error).startswith(str(path))

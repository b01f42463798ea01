"""Any project either comes up or gets a `FileError`; after that, or after `down`, the host is as it was before."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnmsim import FileError, Lab

ADDRESSES = st.sampled_from(["10.1.0.5", "10.1.0.255", "172.18.0.9"])
SUBNETS = st.sampled_from(["10.1.0.0/24", "10.1.0.0/16", "198.51.100.0/24", "fd00::/64", "0.0.0.0/0", "127.0.0.0/8"])
USES = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "aliases": st.lists(st.sampled_from(["x", "web", "y z"]), max_size=2),
        "gw_priority": st.integers(-1, 1),
        "interface_name": st.sampled_from(["eth5", "", "a/b"]),
        "ipv4_address": ADDRESSES,
        "ipv6_address": st.just("fd00::5"),
        "mac_address": st.just("02:42:00:00:00:01"),
        "priority": st.integers(-1, 1),
    },
)
SERVICES = st.fixed_dictionaries(
    {"image": st.sampled_from(["nginx", "alpine", "redis:8", "x/y", "a b"])},
    optional={
        "command": st.sampled_from(["sleep 1d", "true", "nope", "sh -c 'exit 3'", " "]),
        "dns": st.just("1.1.1.1"),
        "extra_hosts": st.just(["a:1.2.3.4", "b:host-gateway"]) | st.just(["c:zz"]),
        "healthcheck": st.just({"test": "true"}) | st.just({"test": ["CMD", "false"], "interval": "1s",
            "retries": 1}),
        "hostname": st.sampled_from(["h", "h" * 80]),
        "networks": st.dictionaries(st.sampled_from(["a", "b", "default"]), USES, max_size=3),
        "ports": st.lists(
            st.sampled_from(["80", "8080:80", "8080:80/udp", "8000-8002:80", "127.0.0.1:81:81", "[::1]:82:82",
                "10.9.9.9:83:83"]),
            max_size=3,
        ),
        "restart": st.sampled_from(["always", "on-failure:3", "odd"]),
        "scale": st.integers(0, 3),
        "sysctls": st.sampled_from([{"net.ipv4.ip_forward": 1}, ["nonsense"]]),
    },
)  # fmt: skip
MODES = st.sampled_from(["host", "none", "bridge", "service:web", "container:x", "weird"])
NETWORKS = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "driver": st.sampled_from(["bridge", "host", "null", "overlay", "nope"]),
        "driver_opts": st.dictionaries(
            st.sampled_from(["com.docker.network.bridge.name", "com.docker.network.driver.mtu"]),
            st.sampled_from(["br0", "1400", "docker0"]), max_size=2,
        ),
        "enable_ipv6": st.booleans(),
        "internal": st.booleans(),
        "ipam": st.fixed_dictionaries(
            {"config": st.lists(st.fixed_dictionaries({"subnet": SUBNETS}, optional={"gateway": ADDRESSES}),
                max_size=2)},
            optional={"driver": st.sampled_from(["default", "null", "nope"])},
        ),
    },
)  # fmt: skip


@st.composite
def projects(draw: st.DrawFn) -> dict[str, Any]:
    services = draw(st.dictionaries(st.sampled_from(["web", "db"]), SERVICES, min_size=1, max_size=2))
    if "db" in services and not services["db"].get("networks") and draw(st.booleans()):
        services["db"]["network_mode"] = draw(MODES)
        services["db"].pop("networks", None)
    used = {name for service in services.values() for name in service.get("networks", ())}
    return {"services": services, "networks": {name: draw(NETWORKS) for name in sorted(used | {"default"})}}


def state(lab: Lab) -> list[Any]:
    """Give all that a project could leave behind on its host."""
    host = lab.host("node")
    rules = host.exec("iptables-save; ip6tables-save").output.splitlines()
    return [
        [line.partition(" [")[0] for line in rules if line.startswith("-A") or line.endswith("- [0:0]")],
        # docker0 keeps the link-local address that it took when it first had a port
        [
            line
            for line in host.exec("ip -o link; ip route; ip -6 route; ss -ltnu").output.splitlines()
            if "fe80:" not in line
        ],
        sorted(host.machine.namespaces),
        len(host.machine.processes),
        [each.name for each in host.docker.networks.list()],
        [each.name for each in host.docker.containers.list(all=True)],
    ]


@settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
@given(document=projects(), engine=st.sampled_from(["26.1.5", "28.5.2", "29.7.2"]))
def test_a_project_comes_up_or_is_refused_and_leaves_nothing(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any], engine: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.yml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    lab = Lab(engine)
    lab.add_host("node", "198.51.100.5/24", docker=True)
    before = state(lab)
    try:
        lab.up(path, project="p").down()
    except FileError as error:
        assert str(error).startswith(str(path))
    lab.run(1)
    assert state(lab) == before

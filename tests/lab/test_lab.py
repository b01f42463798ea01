"""Building labs: hosts, segments, cables, and what is refused."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

from cnmsim import Conflict, InvalidParameter, Lab, NotFound


def two_networks(**options: Any) -> Lab:
    lab = Lab(**options)
    lab.add_host("a", "10.0.0.5/24", gateway="10.0.0.1")
    lab.add_host("b", "10.1.0.5/24", gateway="10.1.0.1")
    lab.add_router("router", "10.0.0.1/24", "10.1.0.1/24")
    return lab


def test_hosts_of_one_subnet_share_a_segment() -> None:
    lab = two_networks()
    assert {name: [s.name for s in segment.stations] for name, segment in lab.segments.items()} == {
        "10.0.0.0/24": ["eth0", "eth0"],
        "10.1.0.0/24": ["eth0", "eth1"],
    }


def test_a_router_joins_networks() -> None:
    assert two_networks().host("a").ping("10.1.0.5").succeeded


def test_interfaces_are_numbered_in_the_order_of_addresses() -> None:
    router = two_networks().host("router")
    assert [(each.name, str(each.addresses[0])) for each in router.interfaces] == [
        ("eth0", "10.0.0.1/24"),
        ("eth1", "10.1.0.1/24"),
    ]


def test_an_explicit_segment_takes_the_hosts_of_its_subnets_and_has_its_latency() -> None:
    lab = Lab()
    lab.add_segment("wan", "10.0.0.0/24", latency_s=0.05)
    a = lab.add_host("a", "10.0.0.5/24")
    lab.add_host("b", "10.0.0.6/24")
    a.ping("10.0.0.6")
    before = lab.now
    a.ping("10.0.0.6")
    assert lab.now - before == pytest.approx(0.1, abs=0.01)
    assert lab.segment("10.0.0.6") is lab.segment("wan")


def test_switches_and_cables_can_be_laid_by_hand() -> None:
    lab = Lab()
    a, b = lab.add_host("a", "10.0.0.5/24"), lab.add_host("b", "10.0.0.6/24")
    lab.add_segment("sw1")
    lab.add_segment("sw2")
    lab.link("a", "sw1")
    lab.link("sw2", "b:eth0")
    assert not a.ping("10.0.0.6").succeeded
    lab.link("sw1", "sw2", latency_s=0.001)
    lab.run(60)
    assert a.ping("10.0.0.6").succeeded
    assert (a.interfaces[0].link, b.interfaces[0].link) == (lab.segments["sw1"], lab.segments["sw2"])


def test_a_cable_between_two_hosts() -> None:
    lab = Lab()
    a = lab.add_host("a", "10.0.0.5/24")
    lab.add_host("b", "10.0.0.6/24")
    lab.link("a:eth0", "b:eth0", latency_s=0.2)
    a.ping("10.0.0.6", timeout_s=5)
    before = lab.now
    assert a.ping("10.0.0.6").succeeded
    assert lab.now - before == pytest.approx(0.4, abs=0.01)


def test_routes_are_those_of_ip_route_add() -> None:
    lab = two_networks()
    c = lab.add_host("c", "10.0.0.7/24", routes=["10.1.0.0/24 via 10.0.0.1", "blackhole 10.9.0.0/16"])
    assert c.ping("10.1.0.5").succeeded
    assert "blackhole 10.9.0.0/16" in c.exec("ip route").output


def test_what_still_runs_when_its_time_is_up_is_killed() -> None:
    a = two_networks().host("a")
    assert a.exec("sleep 1d", timeout_s=5).status == 124
    assert a.machine.processes == {}


def test_the_exit_status_and_both_outputs_are_given() -> None:
    a = two_networks().host("a")
    done = a.exec("echo one; cat /nowhere; exit 3")
    assert (done.status, done.output) == (3, "one\ncat: can't open '/nowhere': No such file or directory\n")
    assert a.exec(["no-such-program"]).status == 127


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("a b", "10.0.0.9/24"), {}, "invalid name"),
        (("c", "10.0.0.0/24"), {}, "host c: 10.0.0.0/24 is the address of the subnet itself"),
        (("c", "10.0.0.9/24"), {"gateway": "10.5.0.1"}, "gateway 10.5.0.1 is on none of the subnets"),
        (("c", "10.0.0.9/24"), {"engine": "1.0"}, "no engine release 1.0"),
        (("c", "10.0.0.9/24"), {"docker": {"userland-proxi": True}}, "userland-proxi"),
        (("c", "10.0.0.9/24"), {"docker": {"mtu": "big"}}, "mtu: must be a number, not 'big'"),
        (("c", "10.0.0.9/24"), {"docker": {"iptables": False, "icc": False}}, "icc=false"),
        (("c", "10.0.0.9/24"), {"docker": {"default-address-pools": [{"base": "x"}]}}, "a pool is"),
        (("c", "10.0.0.9/24"), {"routes": ["10.7.0.0/24 via 10.6.0.1"]}, "ip route add 10.7.0.0/24"),
        (("c", "10.0.0.9/24"), {"names": {"x.y": "nowhere"}}, "invalid IP address"),
    ],
)
def test_an_impossible_host_is_refused_and_leaves_nothing(
    arguments: tuple[str, ...], options: dict[str, Any], message: str
) -> None:
    lab = two_networks()
    before = {name: segment.stations for name, segment in lab.segments.items()}
    with pytest.raises(InvalidParameter, match=re.escape(message)):
        lab.add_host(*arguments, **options)
    assert {name: segment.stations for name, segment in lab.segments.items()} == before
    assert list(lab.hosts) == ["a", "b", "router"]
    assert lab.add_host("c", "10.0.0.9/24", gateway="10.0.0.1").ping("10.1.0.5").succeeded


def test_a_name_or_an_address_that_is_taken_is_refused() -> None:
    lab = two_networks()
    with pytest.raises(Conflict, match="the name a is taken"):
        lab.add_host("a", "10.0.0.9/24")
    with pytest.raises(Conflict, match=r"10\.0\.0\.5/24 is the address of a"):
        lab.add_host("c", "10.0.0.5/24")


def test_an_unknown_release_makes_no_lab() -> None:
    with pytest.raises(InvalidParameter, match=r"no engine release 17\.03"):
        Lab("17.03")


def test_what_is_not_there_is_named() -> None:
    lab = two_networks()
    with pytest.raises(NotFound, match="no host named x; there are: a, b, router"):
        lab.host("x")
    with pytest.raises(NotFound, match="no host and no container is named 'x'"):
        lab["x"]
    with pytest.raises(NotFound, match="no switch or interface named x"):
        lab.link("x", "a")
    assert "x" not in lab
    assert lab["a"] is lab.host("a")


def test_the_topology_is_a_graph_of_hosts_and_segments() -> None:
    graph = two_networks().to_networkx()
    assert dict(graph.nodes(data="kind")) == {
        "a": "host", "b": "host", "router": "router", "10.0.0.0/24": "segment", "10.1.0.0/24": "segment",
    }  # fmt: skip
    assert graph.edges["router", "10.1.0.0/24"]["device"] == "eth1"
    assert graph.nodes["a"]["addresses"] == ["10.0.0.5/24"]


def test_the_same_seed_gives_the_same_frames() -> None:
    def frames(seed: int) -> list[bytes]:
        seen: list[bytes] = []
        lab = two_networks(seed=seed)
        for segment in lab.segments.values():
            segment.taps = (lambda _time, _way, frame: seen.append(frame),)
        lab.host("a").ping("10.1.0.5", count=2)
        return seen

    assert frames(1) == frames(1) != frames(2)


def test_importing_cnmsim_loads_nothing_heavy() -> None:
    code = "import sys, cnmsim; print(*{'scapy', 'networkx', 'hypothesis', 'yaml', 'dns'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


def test_a_containers_exec_and_a_hosts_give_results_of_the_same_shape() -> None:
    lab = Lab()
    host = lab.add_host("node1", "10.0.0.15/24", docker=True)
    box = host.docker.containers.run("alpine", "sleep 1d", name="box", detach=True)
    for done in (host.exec("echo hi; false"), box.exec("sh -c 'echo hi; false'")):
        assert (done.output, done.status) == ("hi\n", 1)

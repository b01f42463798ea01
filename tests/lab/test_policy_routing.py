"""Policy routing on Docker hosts: a VPN for some containers, replies of a host with two uplinks, marks, refusing
rules."""

from __future__ import annotations

import pytest

from cnmsim import Lab
from cnmsim.kernel.events import DropReason


@pytest.fixture
def lab() -> Lab:
    """A Docker host between a plain uplink and a VPN gateway; the server is behind both."""
    lab = Lab()
    lab.add_host(
        "node1", "10.0.0.15/24", "10.8.0.15/24", gateway="10.0.0.1", docker=True,
        routes=["default via 10.8.0.1 table 100"],
    )  # fmt: skip
    lab.add_router("plain", "10.0.0.1/24", "203.0.113.1/24")
    lab.add_router("vpn", "10.8.0.1/24", "203.0.113.2/24")
    lab.add_host("server", "203.0.113.10/24", gateway="203.0.113.1", web=True, routes=["10.8.0.0/24 via 203.0.113.2"])
    lab.settle()
    return lab


def run_on(lab: Lab, line: str) -> str:
    done = lab.host("node1").exec(line)
    assert done.status == 0, done.output
    return done.output


def way(lab: Lab, source: str, destination: str) -> list[str]:
    """Give the router that a probe passes, and that of its answer."""
    walk = lab.trace(source, destination)
    assert walk.is_reachable, walk.text()
    return [hop.place for hop in walk.hops if hop.step.value == "routed" and hop.place in {"plain", "vpn"}][:2]


def test_a_rule_sends_one_network_by_another_table(lab: Lab) -> None:
    docker = lab.host("node1").docker
    docker.networks.create("private", ipam={"Config": [{"Subnet": "172.30.0.0/16"}]})
    docker.containers.run("alpine", "sleep 1d", name="open", detach=True)
    docker.containers.run("alpine", "sleep 1d", name="hidden", detach=True, network="private")
    run_on(lab, "ip rule add from 172.30.0.0/16 lookup 100")
    assert way(lab, "open", "203.0.113.10:80") == ["plain", "plain"]
    assert way(lab, "hidden", "203.0.113.10:80") == ["vpn", "vpn"]
    assert "via 10.8.0.1 dev eth1, by rule 32765: from 172.30.0.0/16 lookup 100" in lab.trace(
        "hidden", "203.0.113.10:80"
    ).text(verbose=True, width=240)


def test_a_kill_switch_leaves_no_other_way(lab: Lab) -> None:
    docker = lab.host("node1").docker
    docker.containers.run("alpine", "sleep 1d", name="c1", detach=True)
    run_on(lab, "ip rule add from 172.17.0.0/16 prohibit")
    walk = lab.trace("c1", "203.0.113.10")
    assert not walk.is_reachable
    (drop,) = walk.drops
    assert (drop.place, drop.reason) == ("node1", DropReason.PROHIBIT_ROUTE)
    assert drop.decision == "ip rule 32765: from 172.17.0.0/16 prohibit"
    assert walk.finding is not None
    assert walk.finding.advice == "on node1: ip rule del pref 32765"
    run_on(lab, "ip rule del from 172.17.0.0/16")
    assert lab.trace("c1", "203.0.113.10").is_reachable


def test_a_mark_set_in_prerouting_chooses_the_table(lab: Lab) -> None:
    docker = lab.host("node1").docker
    docker.containers.run("alpine", "sleep 1d", name="c1", detach=True)
    run_on(lab, "iptables -t mangle -A PREROUTING -i docker0 -p tcp --dport 80 -j MARK --set-mark 0x1")
    run_on(lab, "ip rule add fwmark 0x1 lookup 100")
    assert way(lab, "c1", "203.0.113.10:80") == ["vpn", "vpn"]
    assert way(lab, "c1", "203.0.113.10") == ["plain", "plain"]


def test_a_mark_set_in_output_routes_the_host_itself_anew(lab: Lab) -> None:
    run_on(lab, "iptables -t mangle -A OUTPUT -p tcp --dport 80 -j MARK --set-mark 7")
    run_on(lab, "iptables -t nat -A POSTROUTING -o eth1 -j MASQUERADE")
    run_on(lab, "ip rule add fwmark 7 lookup 100")
    assert way(lab, "node1", "203.0.113.10:80") == ["vpn", "vpn"]


def test_replies_leave_by_the_uplink_of_their_source(lab: Lab) -> None:
    assert way(lab, "server", "10.8.0.15") == ["vpn", "plain"]
    run_on(lab, "ip rule add from 10.8.0.15 lookup 100")
    assert way(lab, "server", "10.8.0.15") == ["vpn", "vpn"]


def test_wg_quick_s_rules_keep_what_the_main_table_knows_better(lab: Lab) -> None:
    run_on(lab, "ip route add default via 10.8.0.1 table 51820")
    run_on(lab, "ip rule add not fwmark 51820 table 51820")
    run_on(lab, "ip rule add table main suppress_prefixlength 0")
    assert "via 10.8.0.1 dev eth1 table 51820 src 10.8.0.15" in run_on(lab, "ip route get 203.0.113.10")
    assert "via 10.0.0.1 dev eth0 src 10.0.0.15 mark 0xca6c" in run_on(lab, "ip route get 203.0.113.10 mark 51820")
    assert run_on(lab, "ip route get 10.0.0.9").startswith("10.0.0.9 dev eth0 src 10.0.0.15")


def test_tables_are_named_by_the_host_s_file(lab: Lab) -> None:
    run_on(lab, "sh -c 'mkdir -p /etc/iproute2; echo \"100 vpn\" >> /etc/iproute2/rt_tables'")
    run_on(lab, "ip rule add from 10.9.0.0/16 lookup vpn")
    assert "32765:\tfrom 10.9.0.0/16 lookup vpn\n" in run_on(lab, "ip rule")
    assert run_on(lab, "ip route show table vpn") == "default via 10.8.0.1 dev eth1 \n"


def test_the_list_of_routes_has_other_tables_and_marks_what_a_walk_took(lab: Lab) -> None:
    run_on(lab, "ip rule add fwmark 7 lookup 100")
    run_on(lab, "iptables -t mangle -A OUTPUT -p tcp --dport 80 -j MARK --set-mark 7")
    run_on(lab, "iptables -t nat -A POSTROUTING -o eth1 -j MASQUERADE")
    assert "default via 10.8.0.1 dev eth1 table 100" in lab.routes("node1").ipv4
    assert lab.routes("node1", to="203.0.113.10").chosen == {"default via 10.0.0.1 dev eth0"}
    run_on(lab, "ip rule add to 203.0.113.0/24 lookup 100")
    assert lab.routes("node1", to="203.0.113.10").chosen == {"default via 10.8.0.1 dev eth1 table 100"}
    walk = lab.trace("node1", "203.0.113.10")
    assert "default via 10.8.0.1 dev eth1 table 100" in lab.routes("node1", trace=walk).chosen


def test_routes_of_other_tables_go_with_their_device(lab: Lab) -> None:
    run_on(lab, "ip link set eth1 down")
    assert run_on(lab, "ip route show table 100") == ""


def test_a_copy_of_a_lab_has_rules_of_its_own(lab: Lab) -> None:
    run_on(lab, "ip rule add from 10.8.0.15 lookup 100")
    twin = lab.fork()
    assert way(twin, "server", "10.8.0.15") == ["vpn", "vpn"]
    run_on(lab, "ip rule del from 10.8.0.15")
    assert way(twin, "server", "10.8.0.15") == ["vpn", "vpn"]
    assert way(lab, "server", "10.8.0.15") == ["vpn", "plain"]


def test_the_second_packet_of_a_flow_goes_where_the_first_went(lab: Lab) -> None:
    docker = lab.host("node1").docker
    docker.containers.run("alpine", "sleep 1d", name="c1", detach=True)
    run_on(lab, "ip rule add from 172.17.0.0/16 lookup 100")
    taken = lab.capture("vpn:eth0")
    status, _ = docker.containers.get("c1").exec_run("ping -c 5 -i 0.2 203.0.113.10")
    assert status == 0
    status, _ = docker.containers.get("c1").exec_run("wget -qO- http://203.0.113.10/")
    assert status == 0
    lab.clock.run_for(1)  # the last of the connection's frames are under way
    sent = [frame for frame in taken.packets if "ARP" not in frame]
    assert len(sent) >= 15
    run_on(lab, "ip rule del from 172.17.0.0/16")
    assert docker.containers.get("c1").exec_run("wget -qO- http://203.0.113.10/")[0] == 0
    assert len([frame for frame in taken.packets if "ARP" not in frame]) == len(sent)


def test_ipv6_has_rules_of_its_own() -> None:
    lab = Lab()
    node = lab.add_host("node1", "10.0.0.15/24", "fd00:1::15/64", "10.8.0.15/24", "fd00:8::15/64")
    lab.settle()
    for line in (
        "ip -6 route add default via fd00:8::1 table 100",
        "ip -6 rule add to 2001:db8::/32 lookup 100",
    ):
        assert node.exec(line).status == 0
    assert node.exec("ip rule").output.count("lookup 100") == 0
    assert "32765:\tfrom all to 2001:db8::/32 lookup 100\n" in node.exec("ip -6 rule").output
    assert " via fd00:8::1 dev eth1 table 100 " in node.exec("ip -6 route get 2001:db8::1").output
    assert node.exec("ip -6 route get 2002::1").status == 2

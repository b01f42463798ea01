"""Faults of the wiring, and what swarms make of them in Docker's time."""

from __future__ import annotations

import pytest
from support.swarm_lab import Swarm

from cnmsim import Lab
from cnmsim.errors import InvalidParameter, NotFound


def plain() -> Lab:
    lab = Lab()
    lab.add_router("router", "10.1.0.1/24", "10.2.0.1/24")
    lab.add_host("a", "10.1.0.2/24", "fd01::2/64", gateway="10.1.0.1")
    lab.add_host("b", "10.1.0.3/24", "fd01::3/64", gateway="10.1.0.1")
    lab.add_host("c", "10.2.0.2/24", gateway="10.2.0.1")
    lab.run(3)
    return lab


def hears(lab: Lab, one: str, other: str) -> bool:
    address = lab.hosts[other].address
    return lab.hosts[one].ping(address, timeout_s=2).succeeded


def test_a_cut_host_is_alone_until_it_is_plugged_in_again() -> None:
    lab = plain()
    assert hears(lab, "a", "b")
    lab.cut("b")
    assert lab.faults == ["b:eth0 is unplugged"]
    assert not lab.host("b").interfaces[0].has_carrier
    assert not hears(lab, "a", "b")
    assert hears(lab, "a", "c")
    lab.cut("b")
    lab.heal("c")
    assert not hears(lab, "a", "b")
    lab.heal("b")
    assert lab.faults == []
    assert hears(lab, "a", "b")


def test_a_cable_comes_back_into_the_same_port() -> None:
    lab = Lab()
    lab.add_segment("lan", vlans={100: "10.1.0.0/24", 200: "10.3.0.0/24"})
    lab.add_host("a", "10.1.0.2/24")
    lab.add_host("b", "10.1.0.3/24")
    lab.add_host("c", "10.3.0.3/24")
    lab.cut("a", "b")
    lab.heal()
    assert hears(lab, "a", "b")
    assert not hears(lab, "a", "c")


def test_a_partition_is_between_hosts_wherever_they_are() -> None:
    lab = plain()
    lab.partition(["a"], ["b", "c"])
    assert not hears(lab, "a", "b")
    assert not hears(lab, "c", "a")
    assert hears(lab, "b", "c")
    assert hears(lab, "a", "router")
    assert not lab.host("a").exec("ping -6 -c1 -W1 fd01::3").succeeded
    walk = lab.trace("a", "10.2.0.2")
    assert "what a sends does not get to c" in str(walk)
    lab.heal("a")
    assert hears(lab, "a", "b")
    assert hears(lab, "a", "c")


def test_loss_one_way() -> None:
    lab = plain()
    lab.lose("a", "c")
    assert lab.faults == ["100% of what a sends to c is lost"]
    lab.lose("a", "c", 0.5)
    lost = sum(not hears(lab, "a", "c") for _ in range(60))
    assert 15 < lost < 45
    lab.lose("a", "c", 0)
    assert lab.faults == []
    assert hears(lab, "a", "c")


def test_what_is_no_fault_of_this_lab() -> None:
    lab = plain()
    with pytest.raises(NotFound, match="no host named nobody"):
        lab.cut("nobody")
    with pytest.raises(NotFound, match="a has no interface eth7"):
        lab.cut("a:eth7")
    with pytest.raises(InvalidParameter, match="two or more groups"):
        lab.partition(["a", "b"])
    with pytest.raises(InvalidParameter, match="in one group only"):
        lab.partition(["a", "b"], ["b"])
    with pytest.raises(NotFound):
        lab.partition(["a"], ["nobody"])
    with pytest.raises(InvalidParameter):
        lab.lose("a", "b", 1.5)
    assert lab.faults == []
    assert hears(lab, "a", "b")


# ---- swarms


def test_a_node_that_is_cut_off_is_replaced_in_dockers_time() -> None:
    swarm = Swarm()
    assert swarm.running() == ["node1", "node2", "node3"]
    assert swarm.backends() == 3
    swarm.lab.cut("node3")
    gossip_s = swarm.after(lambda: swarm.backends() == 2)
    down_s = gossip_s + swarm.after(lambda: swarm.status("node3") == "down")
    replaced_s = down_s + swarm.after(lambda: swarm.running().count("node3") == 0 and len(swarm.running()) == 3)
    assert 3.5 <= gossip_s <= 8
    assert 8.5 <= down_s <= 16.5, "the last heartbeat was up to 5.5 s before the cut"
    assert 4.5 <= replaced_s - down_s <= 7.5, "the restart delay is 5 s"
    for _ in range(6):
        assert swarm.lab.host("client").curl("http://10.9.0.1:8080").succeeded
    swarm.lab.heal()
    assert swarm.after(lambda: swarm.status("node3") == "ready") < 20
    swarm.lab.run(15)
    swarm.lab.settle()
    assert len(swarm.running()) == 3
    assert "node3" not in swarm.running(), "a node that returns is told to stop, and nothing is moved back"
    assert not [each for each in swarm.engine(3).containers.list() if each.name.startswith("web.")]
    assert swarm.backends() == 3


def test_each_side_of_a_partition_serves_on_with_what_it_has() -> None:
    swarm = Swarm()
    swarm.lab.partition(["node1"], ["node2", "node3"])
    assert 3.5 <= swarm.after(lambda: swarm.backends() == 1) <= 12, "one after the other is probed and suspected"
    assert swarm.after(lambda: swarm.running() == ["node1"] * 3) < 30
    for number in (1, 2, 3):
        curl = swarm.lab.host("client").curl(f"http://10.9.0.{number}:8080")
        assert curl.succeeded, f"node{number} has tasks of its own side"
    swarm.lab.heal()
    healed_s = swarm.after(lambda: {swarm.status(f"node{number}") for number in (1, 2, 3)} == {"ready"})
    assert healed_s < 20
    swarm.lab.run(20)
    swarm.lab.settle()
    assert swarm.running() == ["node1"] * 3
    assert swarm.backends() == 3


def test_two_of_three_managers_go_on_and_the_third_refuses() -> None:
    swarm = Swarm(3, managers=3)
    swarm.lab.partition(["node1"], ["node2", "node3"])

    def leaders() -> set[str]:
        manager_node = {number: swarm.engine(number).cluster.manager_node for number in (1, 2, 3)}
        return {f"node{number}" for number, each in manager_node.items() if each is not None and each.raft.is_leading}

    swarm.lab.run(40)
    assert len(leaders() - {"node1"}) == 1
    swarm.engine(2).services.create("nginx", name="more", networks=["net"])
    swarm.lab.run(5)
    swarm.lab.heal()
    swarm.lab.run(40)
    swarm.lab.settle()
    assert len(leaders()) == 1
    assert {service.name for service in swarm.engine(1).services.list()} == {"web", "more"}


def test_what_is_lost_one_way_is_no_heartbeat() -> None:
    swarm = Swarm()
    swarm.lab.lose("node3", "node1")
    assert 8 <= swarm.after(lambda: swarm.status("node3") == "down") <= 17
    swarm.lab.heal("node3")
    assert swarm.after(lambda: swarm.status("node3") == "ready") < 20


def test_settle_waits_until_a_healed_swarm_has_a_leader() -> None:
    swarm = Swarm(3, managers=3)

    def has_leader() -> bool:
        managers = (swarm.engine(number).cluster.manager_node for number in (1, 2, 3))
        return any(manager is not None and manager.raft.has_quorum() for manager in managers)

    swarm.lab.partition(["node1"], ["node2"], ["node3"])
    swarm.lab.run(40)
    assert not has_leader()
    swarm.lab.heal()
    swarm.lab.settle()
    assert has_leader()
    assert len(swarm.engine(1).nodes.list()) == 3


def test_settle_does_not_wait_for_ever_for_a_leader_that_cannot_be_elected() -> None:
    swarm = Swarm(3, managers=3)
    swarm.lab.partition(["node1"], ["node2"], ["node3"])
    assert swarm.lab.settle() <= 150


def test_a_segment_counts_the_frames_it_drops() -> None:
    lab = Lab(seed=3)
    segment = lab.add_segment("lan", "10.0.0.0/24", loss=0.3)
    a, b = lab.add_host("a", "10.0.0.1/24"), lab.add_host("b", "10.0.0.2/24")
    assert segment.drops == {}
    for _ in range(20):
        a.ping("10.0.0.2", timeout_s=0.1)
    lab.run(5)
    ports = [host.interfaces[0] for host in (a, b)]
    sent, received = sum(port.tx_packets for port in ports), sum(port.rx_packets for port in ports)
    assert sent - received == sum(segment.drops.values()) > 0
    assert f"; dropped: {next(iter(segment.drops))} {sum(segment.drops.values())}>" in repr(segment)
